"""The study's own method: rounds of election and imitation, by a policy and a stranger to it.

The stranger is a policy on another backbone, which began by imitating the same demonstrations. In a round
each of the two writes a group of traces of every question. A trace votes for its answer with a weight of
exp(v), v the mean of how likely both find it; of the answer that is elected the likeliest traces are what
their writer imitates next, from its backbone or from itself. What is elected is right more often than what
either writes. That a stranger misreads other things was the reason to have one; a copy of the policy, which
goes its own way by its own samples, gained as much (the ablation `one_backbone`). In the end the stranger is
the reward.
"""

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Trainer, set_seed

from lib import files
from lib.airl import batches, credit
from lib.airl.discriminator import LogRatioDiscriminator
from lib.data.demonstrations import Demonstration
from lib.models import buckets, likelihood, pretrained
from lib.schema import Airl, Lora, Params
from lib.study.adversarial import choice, training, watch
from lib.study.training import policies, sampling
from lib.text import chat

LOGGED_EVERY = 10  # steps whose losses are kept


class Learner(NamedTuple):
    """One of the two: a backbone and its tokenizer, a policy on it, and what its adapter is like."""

    backbone: Path
    tokenizer: PreTrainedTokenizerBase
    policy: torch.nn.Module
    lora: Lora


def elect(texts: Sequence[str], scores: Sequence[float], group_size: int) -> Iterator[list[int]]:
    """Of each group the distinct traces of the answer it elects (`credit.elected`), the likeliest first."""
    codes = batches.answer_codes(texts, group_size)
    won = credit.elected(torch.tensor(scores, dtype=torch.float64), codes, group_size).tolist()
    for start in range(0, len(texts), group_size):
        group = range(start, start + group_size)
        first: dict[str, int] = {}
        for i in sorted(group, key=lambda i: -scores[i]):
            first.setdefault(texts[i], i)
        yield [i for i in first.values() if won[i]]


def log_densities(
    learner: Learner, questions: Sequence[str], texts: Sequence[str], settings: Params
) -> np.ndarray:
    """How likely a learner finds each trace after its question, in nats; equal ones are read once."""
    tokenizer = learner.tokenizer

    def read(pairs: list[tuple[str, str]]) -> list[float]:
        prompts = chat.questions_ids(tokenizer, [q for q, _ in pairs], settings.sampling.system_prompt)
        completions, _ = chat.completions(tokenizer, [text for _, text in pairs])
        return likelihood.log_densities(learner.policy, tokenizer, prompts, completions)

    return np.array(buckets.once(read, list(zip(questions, texts, strict=True))))


def train_elections(
    backbone,
    reward_backbone,
    demonstrations: list[Demonstration],
    train: list[Demonstration],
    section: Airl,
    *,
    settings: Params,
    sft_adapter,
    seed,
    output_dir,
    watched: Sequence[Demonstration] = (),
) -> Trainer:
    """`steps` rounds of `prompts_per_step` questions, the first by the policy in the directory `sft_adapter`.

    Returns the trainer of the policy's last imitation, with the log of all rounds, and the stranger in
    `reward_model`. A killed training goes on from its last election. Raises ValueError in several processes,
    and if a round elects nothing.
    """
    if policies.processes() > 1:
        raise ValueError("airl.learner: imitation takes one process; name such a file in training.launch")
    experts, unlabelled = choice.choose(demonstrations, train, section, seed)
    questions, output_dir, log = [*experts, *unlabelled], Path(output_dir), []
    random.Random(seed).shuffle(questions)
    asked = itertools.cycle(questions)
    fitted = training.new_discriminator(
        reward_backbone,
        None,
        experts,
        section,
        settings=settings,
        sft_adapter=sft_adapter,
        seed=seed,
        output_dir=output_dir / "likelihood",
    )
    tokenizers = [AutoTokenizer.from_pretrained(start) for start in (backbone, reward_backbone)]
    of_reward = training.discriminator_lora(section)
    policy = pretrained.load_policy(backbone, sft_adapter)
    own = Learner(backbone, tokenizers[0], policy, settings.lora)
    stranger = Learner(reward_backbone, tokenizers[1], fitted.model, of_reward)
    for round_ in range(section.steps):
        problems = list(itertools.islice(asked, section.prompts_per_step))
        path = output_dir / f"election{round_}.json"
        if not path.exists():
            _look(watched, len(log), own, stranger, section, settings, output_dir)
            set_seed(seed + 100 * round_)
            both = own, stranger
            files.write_json(path, [_election(one, both, problems, section, settings) for one in both])
        elections = json.loads(path.read_text(encoding="utf-8"))
        trainers = [
            _imitate(one, problems, election, section, settings, seed, output_dir / f"{name}{round_}")
            for one, election, name in zip((own, stranger), elections, ("own", "stranger"), strict=True)
        ]
        own, stranger = (
            one._replace(policy=trainer.model) for one, trainer in zip((own, stranger), trainers, strict=True)
        )
        losses = [row for row in trainers[0].state.log_history if "loss" in row]
        losses[0] |= elections[0]["monitors"]
        log += [{**row, "step": len(log) + row["step"]} for row in losses]
    _look(watched, len(log), own, stranger, section, settings, output_dir)
    trainer = trainers[0]
    trainer.state.log_history = [
        row for i, row in enumerate(log) if i % LOGGED_EVERY == 0 or "pass_rate" in row
    ]
    trainer.reward_model = LogRatioDiscriminator.of_policy(stranger.policy)
    return trainer


def _election(writer: Learner, both: Sequence[Learner], problems, section: Airl, settings: Params) -> dict:
    """What `both` elect among a writer's samples: `elected`, each a problem's index and a trace.

    Beside it `monitors`, by which nothing is decided: how many samples are right, and the AUROC of the
    other's view.
    """
    n, temperature = section.group_size, section.temperature
    rows = sampling.answered(writer.policy, writer.tokenizer, problems, n, temperature, settings)
    texts, right = [row["text"] for row in rows], [row["correct"] for row in rows]
    questions = [problems[row["problem"]].question for row in rows]
    seen = [log_densities(learner, questions, texts, settings) for learner in both]
    weights = np.mean(seen, axis=0) if section.election == "both" else np.zeros(len(rows))
    kept = [i for won in elect(texts, weights, n) for i in won[: section.imitated]]
    if not kept:
        raise ValueError(
            f"airl.learner: no trace of {len(rows)} gives an answer, so that none is elected; train SFT for "
            "longer, or ask more in airl.prompts_per_step"
        )
    monitors = {"pass_rate": float(np.mean(right))}
    if 0 < sum(right) < len(right):
        monitors["reward_auroc"] = float(roc_auc_score(right, seen[-1]))
    return {"elected": [(rows[i]["problem"], texts[i]) for i in kept], "monitors": monitors}


def _imitate(
    learner: Learner,
    problems: Sequence[Demonstration],
    election: dict,
    section: Airl,
    settings: Params,
    seed: int,
    output_dir: Path,
) -> Trainer:
    """SFT of a learner's backbone, by a fresh adapter, or of itself, on its elected traces."""
    sft = settings.sft.model_copy(update={"epochs": section.imitation_epochs, "lr": section.lr})
    return policies.train_sft(
        learner.backbone,
        [problems[i].model_copy(update={"trace": text}) for i, text in election["elected"]],
        sft,
        policy=learner.policy if section.imitation_start == "itself" else None,
        settings=settings.model_copy(update={"lora": learner.lora}),
        seed=seed,
        output_dir=output_dir,
    )


def _look(watched, step: int, own: Learner, stranger: Learner, section, settings, output_dir) -> None:
    """Ask policy and reward about the watched problems, if there are any."""
    if watched:
        reward_model = LogRatioDiscriminator.of_policy(stranger.policy)
        asked = own.policy, own.tokenizer, reward_model, stranger.tokenizer, watched
        watch.look(step, *asked, section, settings, output_dir)
