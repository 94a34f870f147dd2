"""What a trained reward says of recorded traces; each pair of reward and trace is scored once."""

import bisect
from collections.abc import Sequence
from pathlib import Path

from transformers import AutoTokenizer

from lib import runs
from lib.airl import discriminator
from lib.models import pretrained
from lib.reward import scoring
from lib.schema import Airl, Params
from lib.text import chat


def load_discriminator(backbone: str, method: str, seed: int, settings: Params):
    """The discriminator of a recorded AIRL run."""
    airl = settings.airl_variant(method)
    record = runs.run_dir(backbone, method, seed)
    return load(backbone, runs.part_of(record, "discriminator"), airl, settings)


def load(backbone: str, directory: Path, airl: Airl, settings: Params):
    """A discriminator that was trained with `airl`, for a policy on `backbone`, and saved in a directory."""
    start = runs.backbone_dir(settings.discriminator_backbone(airl, backbone))
    return pretrained.placed(discriminator.PARAMETERISATIONS[airl.parameterisation].load(start, directory))


def tokenizer(backbone: str, airl: Airl, settings: Params):
    """The tokenizer of the reward that was trained with `airl`, for a policy on `backbone`."""
    return AutoTokenizer.from_pretrained(runs.backbone_dir(settings.discriminator_backbone(airl, backbone)))


def score(
    reward_model,
    tokenizer,
    questions: list[str],
    texts: list[str],
    airl: Airl,
    settings: Params,
    *,
    logit: bool = False,
) -> list[dict]:
    """`scoring.score_texts` of traces, in order, with the reward's own boundaries and discount."""
    reading = scoring.Reading(
        airl.reward, airl.boundaries, airl.interval, airl.score_gamma, settings.sampling.system_prompt
    )
    return scoring.score_texts(reward_model, tokenizer, questions, texts, reading, logit=logit)


def score_samples(
    reward_model,
    tokenizer,
    problems: Sequence,
    rows: list[dict],
    airl: Airl,
    settings: Params,
    *,
    logit: bool = False,
) -> list[dict]:
    """Rewards of sample rows, in order; `problems` have a `question`.

    Token rewards are kept for the first `token_records` problems, at the policy's tokens: of a reward that
    reads others, those at the ends of its own that hold the policy's last characters.
    """
    questions = [problems[row["problem"]].question for row in rows]
    texts = [row["text"] for row in rows]
    scored = score(reward_model, tokenizer, questions, texts, airl, settings, logit=logit)
    result = []
    for row, rewards in zip(rows, scored, strict=True):
        if row["problem"] >= settings.evaluation.token_records:
            rewards = {key: value for key, value in rewards.items() if key != "rewards"}
        elif "ends" in row:
            _, (ends,) = chat.completions(tokenizer, [row["text"]])
            rewards["rewards"] = _at(row["ends"], rewards["rewards"], ends)
        result.append({"problem": row["problem"], "sample": row["sample"], **rewards})
    return result


def _at(ends: list[int], rewards: list[float], reward_ends: list[int]) -> list[float]:
    """Rewards at tokens with other ends than the reward's: each that of its first token to end no earlier."""
    if ends == reward_ends:
        return rewards
    found = [rewards[bisect.bisect_left(reward_ends, end)] for end in ends]
    if ends[-1:] == ends[-2:-1]:  # an end token, which has no characters
        found[-1] = rewards[-1]
    return found
