"""What a trained reward says of recorded traces; each pair of reward and trace is scored once."""

from collections.abc import Sequence
from pathlib import Path

from lib import runs
from lib.airl import discriminator
from lib.models import buckets, pretrained
from lib.reward import scoring
from lib.schema import Airl, Params
from lib.text import chat


def load_discriminator(backbone: str, method: str, seed: int, settings: Params):
    """The discriminator of a recorded AIRL run."""
    airl = settings.airl_variant(method)
    return load(backbone, runs.run_dir(backbone, method, seed) / "discriminator", airl, settings)


def load(backbone: str, directory: Path, airl: Airl, settings: Params):
    """A discriminator that was trained with `airl`, for a policy on `backbone`, and saved in a directory."""
    start = runs.backbone_dir(settings.discriminator_backbone(airl, backbone))
    return pretrained.placed(discriminator.PARAMETERISATIONS[airl.parameterisation].load(start, directory))


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
    """`scoring.score_texts` of traces, in order, with the reward's own boundaries and discount.

    Texts are scored as they stand: what a policy sampled token by token, what others wrote as it was read
    (`traces.normalised`).
    """
    return scoring.score_texts(
        reward_model,
        tokenizer,
        chat.questions_ids(tokenizer, questions, settings.sampling.system_prompt),
        texts,
        reward=airl.reward,
        boundaries=airl.boundaries,
        interval=airl.interval,
        gamma=airl.score_gamma,
        batch_size=buckets.ROWS,
        logit=logit,
    )


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

    Token rewards are kept for the first `token_records` problems.
    """
    questions = [problems[row["problem"]].question for row in rows]
    texts = [row["text"] for row in rows]
    scored = score(reward_model, tokenizer, questions, texts, airl, settings, logit=logit)
    result = []
    for row, rewards in zip(rows, scored, strict=True):
        if row["problem"] >= settings.evaluation.token_records:
            rewards = {key: value for key, value in rewards.items() if key != "rewards"}
        result.append({"problem": row["problem"], "sample": row["sample"], **rewards})
    return result
