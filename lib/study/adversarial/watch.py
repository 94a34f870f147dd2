"""Watches a training: samples of the policy on its way, each with the reward as it was by then."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import TrainerCallback

from lib import runs
from lib.data.demonstrations import Demonstration
from lib.reward import recorded
from lib.schema import Airl, Params
from lib.study.training import sampling


def steps(last: int, times: int) -> list[int]:
    """`times` steps from 0 to the last, or fewer: closest at the start, where the reward moves most."""
    return sorted({round(last * (i / (times - 1)) ** 2) for i in range(times)})


class Watch(TrainerCallback):
    """Looks (see `look`) at a training by GRPO, `watching.times` times."""

    def __init__(
        self, reward_model, tokenizer, problems: Sequence[Demonstration], airl: Airl, settings: Params
    ):
        self._asked = (tokenizer, reward_model, tokenizer, problems, airl, settings)
        self._steps = steps(airl.steps, settings.watching.times)

    def on_step_begin(self, args, state, control, model=None, **_):
        if state.global_step in self._steps:
            look(state.global_step, model, *self._asked, args.output_dir)

    def on_train_end(self, args, state, control, model=None, **_):
        look(state.global_step, model, *self._asked, args.output_dir)


def look(
    step: int,
    policy,
    tokenizer,
    reward_model,
    reward_tokenizer,
    problems: Sequence[Demonstration],
    airl: Airl,
    settings: Params,
    directory: str | Path,
) -> None:
    """Write what a policy samples into `runs.WATCHED`; the training's random numbers stay what they were.

    A row is one of `samples.jsonl.xz` with its token values, the `step` before which it was sampled, and
    what `scoring.score_texts` said of it then.
    """
    path, before = Path(directory) / runs.WATCHED, []
    if path.exists():  # and after a killed training maybe of steps that come again
        before = [row for row in runs.read_rows(path) if row["step"] < step]
    of_all = settings.evaluation.model_copy(update={"token_records": len(problems)})
    settings = settings.model_copy(update={"evaluation": of_all})
    n, training = settings.watching.samples, policy.training
    with torch.random.fork_rng():
        torch.manual_seed(step)
        how = {"n": n, "token_records": len(problems), "with_likelihoods": True}
        rows = sampling.sample(policy, tokenizer, problems, settings, **how)
    policy.train(training)
    with reward_model.in_use():
        scored = recorded.score_samples(reward_model, reward_tokenizer, problems, rows, airl, settings)
    seen = [{"step": step, **row, **score} for row, score in zip(rows, scored, strict=True)]
    runs.write_rows(path, before + seen)
