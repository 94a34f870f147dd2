"""GGUF files: a small one written here, and the published ones where `make weights` put them."""

import hashlib
import json
from pathlib import Path

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lib.models import gguf_files, pretrained
from lib.schema import Pretrained
from lib.study.weights import PUBLISHED
from lib.text import chat, traces
from tests import stand_ins

NAMES = {  # of a layer's tensors, there and here
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip


def write(model, tokenizer, path: Path) -> str:
    """A Qwen2 model as a GGUF file, in float32, by the format's own writer; returns its hash."""
    config, words = model.config, tokenizer.backend_tokenizer
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    tokens = [words.id_to_token(i) for i in range(len(tokenizer))]
    special = set(tokenizer.all_special_tokens) | set(tokenizer.added_tokens_encoder)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    merges = json.loads(words.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(tokenizer.chat_template)
    own = model.state_dict()
    named = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    for layer in range(config.num_hidden_layers):
        for theirs, ours in NAMES.items():
            for part in ("weight", "bias"):
                if f"model.layers.{layer}.{ours}.{part}" in own:
                    named[f"blk.{layer}.{theirs}.{part}"] = f"model.layers.{layer}.{ours}.{part}"
    assert set(named.values()) | {"lm_head.weight"} == set(own)
    for theirs, ours in named.items():
        writer.add_tensor(theirs, own[ours].float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def published(experts, tmp_path):
    """A tied Qwen2 model, and the same as a GGUF file with its hash."""
    stand_ins.build(tmp_path / "hub", "qwen2", [text for e in experts for text in (e.question, e.trace)])
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "hub")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "hub")
    file = tmp_path / "weights" / "tiny-f32.gguf"
    file.parent.mkdir()
    return model, tokenizer, file, write(model, tokenizer, file)


def backbone(file: Path, sha256: str, directory: Path) -> Path:
    source = Pretrained(path=str(file.parent), gguf=file.name, sha256=sha256, four_bit=False)
    pretrained.write_pretrained(directory, source)
    return directory


def test_a_gguf_file_becomes_the_model_that_it_was_made_of(published, experts, tmp_path):
    model, tokenizer, file, sha256 = published
    loaded, same = pretrained.load_backbone(backbone(file, sha256, tmp_path / "backbone"))
    assert loaded.dtype == torch.bfloat16
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight  # tied, as it was
    for expert in experts[:3]:
        ids = chat.prompt_ids(tokenizer, chat.messages(expert.question)) + chat.completion_ids(
            tokenizer, expert.trace
        )
        assert ids == chat.prompt_ids(same, chat.messages(expert.question)) + chat.completion_ids(
            same, expert.trace
        )
        with torch.no_grad():
            ours, theirs = loaded(torch.tensor([ids])).logits, model(torch.tensor([ids])).logits
        assert torch.allclose(ours.float(), theirs, atol=0.02) and theirs.abs().max() > 0.1
    kept = (tmp_path / "backbone" / pretrained.SOURCE).read_text()
    assert sha256 in kept and not list((tmp_path / "backbone").glob("*.safetensors"))


def test_it_is_made_once_and_again_of_another_file(published):
    model, tokenizer, file, sha256 = published
    directory = gguf_files.ordinary(file, sha256)
    written = (directory / "model.safetensors").stat().st_mtime_ns
    assert gguf_files.ordinary(file, sha256) == directory
    assert (directory / "model.safetensors").stat().st_mtime_ns == written
    with torch.no_grad():
        model.model.norm.weight.mul_(2)
    other = write(model, tokenizer, file)
    gguf_files.ordinary(file, other)
    again = AutoModelForCausalLM.from_pretrained(directory).model.norm.weight
    assert torch.equal(again.float(), model.model.norm.weight)


def test_what_is_missing_or_another_file_is_one_line_with_the_ways_out(published, tmp_path):
    *_, file, sha256 = published
    with pytest.raises(ValueError, match=r"none.gguf: no such file; `make weights` fetches it, .*hub"):
        gguf_files.ordinary(tmp_path / "none.gguf", sha256)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(
        ValueError, match=rf"its SHA-256 is \w+\.\., not {sha256[:12]}.*`make weights`"
    ) as said:
        gguf_files.ordinary(file, sha256)
    assert "\n" not in str(said.value) and not file.with_suffix("").exists()


@pytest.mark.parametrize("known", PUBLISHED, ids=lambda known: known.name)
def test_the_published_models_can_be_trained_on_traces(known, tmp_path):
    file = Path(__file__).parents[2] / "weights" / known.name
    if not file.exists():
        pytest.skip(f"{known.name} is not in weights/; `make weights` puts it there")
    (tmp_path / known.name).symlink_to(file.resolve())
    model, tokenizer = pretrained.load_backbone(
        backbone(tmp_path / known.name, known.sha256, tmp_path / "backbone")
    )
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert tied == ("smollm2" in known.name)  # of Qwen's head the file has a copy of its own, rounded less
    asked = chat.prompt_ids(tokenizer, chat.messages("Tom has 3 apples and buys 4. How many has he now?"))
    told = chat.completion_ids(tokenizer, traces.render(["3+4=7"], "7"))
    with torch.no_grad():
        logits = model(torch.tensor([asked + told])).logits[0, len(asked) - 1 : -1].float()
    chosen = logits.log_softmax(-1).gather(-1, torch.tensor(told)[:, None])
    assert chosen.mean() > -4  # nats a token; weights of another order would have about -11
