"""Rewards that learn from true labels of samples: what those from demonstrations alone are measured against.

A log-ratio reads the traces of the base and of the SFT policy and is told at the end of each step, and at
that of the trace, whether the trace's answer is right (`outcome_labels`), or whether no step so far is wrong
(`step_labels`): an outcome and a process reward model (Uesato et al. 2022; Lightman et al. 2023). A head, as
theirs, learns next to nothing from as many labels on backbones this small.
"""

import random
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from tqdm.auto import tqdm
from transformers import set_seed

from lib.airl import batches
from lib.airl.batches import Row
from lib.airl.discriminator import LogRatioDiscriminator
from lib.airl.objective import POLICY
from lib.data import reading
from lib.data.demonstrations import Demonstration
from lib.models import pretrained
from lib.schema import Airl, Labels, Params
from lib.study.training import sampling
from lib.text import alignment, chat


def judged_as(settings: Params) -> Airl:
    """How such a reward is asked of a trace: the logit at the end of each step, the last for the whole."""
    form = {"parameterisation": "log_ratio", "reward": "logit", "boundaries": "step", "credit": "telescoped"}
    return settings.airl.model_copy(update=form)


def labels_BT(reward: str, rows: Sequence[dict], units_BT: torch.Tensor) -> torch.Tensor:
    """1.0 where a sample row is right so far as the reward is told, else 0.0.

    `units_BT` is the unit of each token. Raises ValueError for another reward.
    """
    if reward == "outcome_labels":
        return torch.tensor([row["correct"] for row in rows]).float()[:, None].expand(units_BT.shape)
    if reward == "step_labels":
        never = units_BT.max() + 1
        firsts = [never if row["first_wrong_unit"] is None else row["first_wrong_unit"] for row in rows]
        return (units_BT < torch.tensor(firsts)[:, None]).float()
    raise ValueError(f"{reward}: no labels of that name; there are outcome_labels and step_labels")


def train_labelled(
    reward: str,
    backbone,
    policies: Iterable,
    problems: Sequence[Demonstration],
    section: Labels,
    *,
    tokenizer,
    settings: Params,
    seed: int,
) -> tuple[LogRatioDiscriminator, list[dict]]:
    """A reward trained on samples of each of `policies`, and its log: step and loss.

    All traces of a question are in one batch; a label's loss is the binary cross-entropy.
    """
    set_seed(seed)
    of_problem: list[list[dict]] = [[] for _ in problems]
    for policy in policies:
        for row in sampling.answered(
            policy, tokenizer, list(problems), section.samples, settings.sampling.temperature, settings
        ):
            if reward == "step_labels":
                expert = problems[row["problem"]].trace
                row["first_wrong_unit"] = reading.first_wrong_unit(row["text"], expert)
            of_problem[row["problem"]].append(row)
    set_seed(seed)
    model = pretrained.placed(LogRatioDiscriminator.new(backbone, r=section.r, alpha=2 * section.r))
    optimizer = torch.optim.AdamW(model.trained().values(), lr=section.lr, weight_decay=0.0)
    starts = [
        start
        for _ in range(section.epochs)
        for start in range(0, len(of_problem), section.questions_per_batch)
    ]
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(starts))
    rng, log = random.Random(seed), []
    model.train()
    for step, start in enumerate(tqdm(starts, desc=reward, leave=False), start=1):
        if start == 0:
            rng.shuffle(of_problem)
        batch = [row for of in of_problem[start : start + section.questions_per_batch] for row in of]
        questions = [problems[row["problem"]].question for row in batch]
        loss = _loss(model, tokenizer, questions, batch, reward, settings)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.trained().values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
        log.append({"step": step, "loss": round(loss.item(), 5)})
    return model, log


def _loss(model, tokenizer, questions, rows: Sequence[dict], reward: str, settings: Params) -> torch.Tensor:
    prompts = chat.questions_ids(tokenizer, questions, settings.sampling.system_prompt)
    completions, _ = chat.completions(tokenizer, [row["text"] for row in rows])
    samples = [Row(*pair, POLICY, 0.0) for pair in zip(prompts, completions, strict=True)]
    batch = batches.collate(tokenizer, samples, judged_as(settings))
    units = [torch.tensor(alignment.units_of_tokens(tokenizer, ids)) for ids in completions]
    units_BT = torch.nn.utils.rnn.pad_sequence(units, batch_first=True, padding_value=-1)
    device = next(model.parameters()).device
    ids_BL, attention_BL = batch.ids_BL.to(device), batch.attention_BL.to(device)
    logits_BT = model.logits_BT(ids_BL, attention_BL, units_BT.shape[1]).cpu()
    told_BT, marked_BT = labels_BT(reward, rows, units_BT), batch.boundaries_BT
    return F.binary_cross_entropy_with_logits(logits_BT[marked_BT], told_BT[marked_BT])
