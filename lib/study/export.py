"""Writes a trained reward into a directory of its own, with a model card, ready to be pushed to a hub.

`python -m lib.study.export RUN DIRECTORY`, RUN such as results/runs/qwen2/airl/seed0.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template

import pandas as pd

from lib import files, runs
from lib.evaluation import tables
from lib.evaluation.words import interval, label
from lib.models import pretrained
from lib.reward.reward import ADAPTER, BACKBONE, MANIFEST, Manifest, backbone_sha256
from lib.schema import Airl, Params
from lib.study import params

# of a model's directory; the study's own takes its place
TOKENIZER = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "vocab*",
    "merges*",
)
CARD = Path(__file__).with_name("model_card.md")
USAGE = Template('''import re

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import $model, AutoTokenizer

directory = "."  # where this file is
tokenizer = AutoTokenizer.from_pretrained(f"{directory}/backbone")
base = $model.from_pretrained($weights, $arguments)
model = PeftModel.from_pretrained(base, f"{directory}/adapter").eval()


@torch.no_grad()
def token_rewards(question, trace):
    """The reward at each token of the trace and at the end token."""
    question, trace = (re.sub(r"\\r+\\n", "\\n", text).rstrip() for text in (question, trace))
    messages = [$system{"role": "user", "content": question}]
    prompt_ids = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False, sanitize_control_tokens=True
    )
    plain = {"add_special_tokens": False, "split_special_tokens": True}
    line_break, trace_ids = (tokenizer(text, **plain).input_ids for text in ("\\n", "\\n" + trace))
    ids = torch.tensor([prompt_ids + trace_ids[len(line_break) :] + [tokenizer.eos_token_id]])
    n = len(prompt_ids)

    def log_density():
        logprobs = model(ids).logits[0, n - 1 : -1].log_softmax(-1)
        return logprobs.gather(-1, ids[0, n:, None])[:, 0].cumsum(0)

    $reward''')
REWARD = {
    ("head", "logit"): "return model(ids).logits[0, n:, 0]",
    ("log_ratio", "log_density"): "return log_density()",
    ("log_ratio", "logit"): """learned = load_file(f"{directory}/adapter/log_ratio.safetensors")
    density = log_density()
    with model.disable_adapter():
        reference = log_density()
    return learned["bias"] + learned["beta"] * (density - reference)""",
}


def export(run_dir: str | Path, target: str | Path, settings: Params) -> None:
    """Write the reward of a recorded AIRL run; `target` appears whole or not at all.

    Raises ValueError if the run is not there or has no reward, or if `target` exists.
    """
    run_dir, target = Path(run_dir), Path(target)
    run = runs.read(run_dir)
    trained = runs.part_of(run_dir, "discriminator")
    if not trained.exists():
        raise ValueError(
            f"{run_dir}: no reward of {run.method} is kept here; name a run of airl, or train this one"
        )
    if target.exists():
        raise ValueError(f"{target}: exists already; name a new directory")
    # a record has the adapter's size too, and keys that there were when it was made
    asked = {key: value for key, value in run.parameters.items() if key in Airl.model_fields}
    airl = Airl.model_validate(settings.airl.model_dump() | asked, strict=False)
    backbone = runs.require(runs.backbone_dir(settings.discriminator_backbone(airl, run.backbone)))
    manifest = Manifest(
        **{key: getattr(airl, key) for key in ("parameterisation", "reward", "boundaries", "interval")},
        gamma=airl.score_gamma,
        threshold=_threshold(run_dir),
        system_prompt=settings.sampling.system_prompt,
        backbone_sha256="",
    )
    with files.new_directory(target) as temporary:
        hidden = shutil.ignore_patterns(".*")
        _copy_backbone(backbone, temporary / BACKBONE)
        manifest = manifest.model_copy(update={"backbone_sha256": backbone_sha256(temporary / BACKBONE)})
        shutil.copytree(trained, temporary / ADAPTER, ignore=hidden)
        (temporary / ADAPTER / "README.md").unlink(missing_ok=True)  # peft's, with nothing in it
        files.write_json(temporary / MANIFEST, manifest.model_dump())
        (temporary / "README.md").write_text(card(run, airl, backbone, settings), encoding="utf-8")


def _source(backbone: Path) -> dict:
    """Where weights are that were trained elsewhere; of others there is no path."""
    source = backbone / pretrained.SOURCE
    return json.loads(source.read_text(encoding="utf-8")) if source.exists() else {"path": ""}


def _copy_backbone(backbone: Path, target: Path) -> None:
    """With its weights, unless these are on the hub, which has them for everyone."""
    hidden, source = shutil.ignore_patterns(".*"), _source(backbone)
    is_local = source["path"] and Path(source["path"]).is_dir()
    if is_local:
        shutil.copytree(source["path"], target, ignore=shutil.ignore_patterns(".*", *TOKENIZER))
    shutil.copytree(backbone, target, ignore=hidden, dirs_exist_ok=True)
    if is_local:
        files.write_json(target / pretrained.SOURCE, source | {"path": pretrained.HERE})


def card(run: runs.Run, airl: Airl, backbone: Path, settings: Params) -> str:
    """The model card of a run's reward, which is on the directory `backbone`."""
    head = airl.parameterisation == "head"
    kind = (
        "word problems that a program writes" if settings.data.dataset == "world" else settings.data.dataset
    )
    practice = f"{airl.unlabelled_questions} further questions without trace or answer"
    return Template(CARD.read_text(encoding="utf-8")).substitute(
        task="token-classification" if head else "text-generation",
        method=label(run.method),
        backbone=backbone.name,
        form=_form(airl),
        data=f"{airl.demonstrations} demonstrations, and {practice}: {kind}. Policy: {run.backbone}.",
        seed=run.seed,
        answers="It read answers (relabelling)." if airl.relabel_correct else "It read no graded answer.",
        metrics="\n".join(f"- {line}" for line in _metrics(run)) or "- none are recorded for this run",
        usage=usage(airl, backbone, settings.sampling.system_prompt),
    )


def _form(airl: Airl) -> str:
    """What the reward is, and what it was trained to do."""
    if airl.reward == "log_density" and not airl.discriminator_steps:
        elections = ", and traces of its own that it and the policy elected" * (airl.learner == "imitation")
        return "the log-density of a language model that imitates them" + elections
    form = "a token classifier" if airl.parameterisation == "head" else "the log-ratio of two language models"
    adversary = "from a policy's samples and from near misses of the experts"
    return f"{form}, trained adversarially to tell experts {adversary}"


def usage(airl: Airl, backbone: Path, system_prompt: str) -> str:
    """A script that loads an exported reward with transformers and peft alone, and scores tokens."""
    head, source = airl.parameterisation == "head", _source(backbone)
    on_hub = source["path"] and not Path(source["path"]).is_dir()
    dtype = 'dtype="auto"' if on_hub or source.get("gguf_sha256") else "dtype=torch.float32"
    system = {"role": "system", "content": system_prompt}
    return USAGE.substitute(
        model="AutoModelForTokenClassification" if head else "AutoModelForCausalLM",
        weights=repr(source["path"]) if on_hub else 'f"{directory}/backbone"',
        arguments=f"num_labels=1, {dtype}" if head else dtype,
        system=f"{system!r}, " if system_prompt else "",
        reward=REWARD[airl.parameterisation, airl.reward],
    )


def _threshold(run_dir: Path) -> float | None:
    """The one chosen on experts that a rule struck, which takes no label; None if none is recorded."""
    found = run_dir / runs.LOCALISATION
    rows = runs.read_rows(found) if found.exists() else []
    return next((row["thresholds"]["perturbed"] for row in rows if row["policy"] == "base"), None)


def _metrics(run: runs.Run) -> Iterator[str]:
    """What the study's tables say of the method's reward on the policy's backbone."""
    for _, row in _rows("reward_quality", run).iterrows():
        yield f"right against wrong samples of the base policy, AUROC: {interval(row, 'auroc')}"
    chosen = _rows("rerank", run)
    chosen = chosen[(chosen["policy"] == "base") & (chosen["n"] == chosen["n"].max())].set_index("selector")
    if "random" in chosen.index:  # a policy's judge; a variant that only stands in its place chooses alone
        of = {selector: interval(row, "accuracy") for selector, row in chosen.iterrows()}
        yield (
            f"right answers among its choices of {chosen['n'].max()} samples of the base policy: "
            f"{of['reward']}; at random {of['random']}, by majority {of['majority']}"
        )
    located = _rows("localisation", run)
    located = located[(located["policy"] == "base") & (located["threshold"] == "perturbed")]
    for _, row in located.iterrows():
        errors = "rule-made near misses" if row["error_source"] == "perturbed" else "the base policy's errors"
        yield (
            f"first wrong step found in {errors}: {interval(row, 'hit_at_1')}, by chance {row['chance']:.2f}"
        )
    alarms = _rows("false_alarms", run)
    for _, row in alarms[alarms["threshold"] == "perturbed"].iterrows():
        wrong = interval(row, "accuracy_erroneous", "accuracy_erroneous_")
        right = interval(row, "accuracy_correct", "accuracy_correct_")
        yield (
            f"where it may find no error, as `first_error` does: the first wrong step in {wrong} of the base "
            f"policy's wrong traces, none in {right} of its right ones"
        )


def _rows(table: str, run: runs.Run) -> pd.DataFrame:
    rows = tables.read(table, runs.RESULTS / "tables")
    return rows[(rows["backbone"] == run.backbone) & (rows["variant"] == run.method)]


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: python -m lib.study.export RUN DIRECTORY")
    run_dir, target = sys.argv[1:]
    try:
        export(run_dir, target, params.load())
    except ValueError as error:
        sys.exit(str(error))
    print(f"{target}: a reward for lib.reward; its README.md shows how to load it elsewhere")


if __name__ == "__main__":
    main()
