"""A learned reward taken away from the study: scores, ranks and searches traces of anyone's.

`python -m lib.study.export RUN DIRECTORY` writes the directory that `Reward.load` reads.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import ValidationError
from transformers import AutoTokenizer

from lib import files
from lib.airl import discriminator
from lib.models import pretrained
from lib.reward import scoring
from lib.reward.falls import first_flag, reward_drops
from lib.schema import Section
from lib.text.traces import normalised

BACKBONE, ADAPTER, MANIFEST = "backbone", "adapter", "reward.json"


class Manifest(Section):
    """reward.json: how a trained model's outputs become rewards (see `lib.schema.Airl`), and on what it is.

    `gamma` is None where rewards accumulate. `threshold` is that of `Reward.first_error`, chosen on errors
    that the study knows; None where none are recorded.
    """

    parameterisation: Literal["head", "log_ratio"]
    reward: Literal["logit", "log_density"]
    boundaries: Literal["sparse", "interval", "step", "dense"]
    interval: int
    gamma: float | None
    threshold: float | None
    system_prompt: str
    backbone_sha256: str

    @property
    def reading(self) -> scoring.Reading:
        return scoring.Reading(**self.model_dump(include=set(scoring.Reading._fields)))


class Score(NamedTuple):
    """What a reward says of one trace: as a whole, step by step, token by token.

    `steps` has the reward before the first step, then at the end of each step and, last, of the answer;
    `tokens` that at each token of the trace, as `traces.normalised` leaves it, and at the end token.
    """

    trace: float
    steps: list[float]
    tokens: list[float]


class Reward:
    """A trained reward with its tokenizer."""

    def __init__(self, model, tokenizer, manifest: Manifest):
        self.model, self.tokenizer, self.manifest = model, tokenizer, manifest

    @classmethod
    def load(cls, directory: str | Path) -> "Reward":
        """Read an exported reward, onto the GPU where there is one.

        Raises ValueError for a directory that is not whole, or has another backbone than it was trained on.
        """
        directory = Path(directory)
        path = directory / MANIFEST
        if not path.exists():
            raise ValueError(
                f"{path}: no such file; `python -m lib.study.export RUN DIRECTORY` makes such a reward"
            )
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        backbone = directory / BACKBONE
        if not backbone.exists() or backbone_sha256(backbone) != manifest.backbone_sha256:
            raise ValueError(f"{backbone}: not the backbone this reward was trained on; export it again")
        kind = discriminator.PARAMETERISATIONS[manifest.parameterisation]
        model = pretrained.placed(kind.load(backbone, directory / ADAPTER))
        return cls(model, AutoTokenizer.from_pretrained(backbone), manifest)

    def score(self, question: str, traces: Sequence[str]) -> list[Score]:
        """Score traces of one question, in order. Raises ValueError for an empty trace."""
        return self.score_pairs([(question, trace) for trace in traces])

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        """Score (question, trace) pairs, in order; those of one question are read together.

        How lines and texts end is no matter (`traces.normalised`). Raises ValueError for an empty trace.
        """
        pairs = [(normalised(question), normalised(trace)) for question, trace in pairs]
        for i, (_, trace) in enumerate(pairs):
            if not trace:
                raise ValueError(f"trace {i} is empty")
        questions, traces = [question for question, _ in pairs], [trace for _, trace in pairs]
        reading = self.manifest.reading
        scored = scoring.score_texts(self.model, self.tokenizer, questions, traces, reading)
        return [Score(found["reward"], found["unit_reward"], found["rewards"]) for found in scored]

    def rerank(self, question: str, traces: Sequence[str]) -> list[int]:
        """The places of the traces, best first; of equals the earlier one first."""
        scores = [score.trace for score in self.score(question, traces)]
        return sorted(range(len(scores)), key=lambda i: -scores[i])

    def first_error(self, question: str, trace: str) -> int | None:
        """The first wrong unit of a trace: a step, counted from 0, or after the last the answer.

        It is the first over which the reward falls by more than the manifest's threshold; None where it falls
        so over none. Without a threshold it is that over which the reward falls most, also of a right trace.
        """
        return self.first_error_of(self.score(question, [trace])[0])

    def first_error_of(self, score: Score) -> int | None:
        """`first_error` of a trace that is scored already."""
        falls, threshold = reward_drops(score.steps), self.manifest.threshold
        if threshold is None:
            return int(np.argmax(falls))
        flag = first_flag(falls, threshold)
        return flag if flag >= 0 else None


def backbone_sha256(directory: str | Path) -> str:
    """The hash of a model directory's files, which tells one backbone (or adapter) from another.

    Directories and hidden files are no part of a model: an editor or a file browser leaves them there.
    """
    visible = (path for path in Path(directory).iterdir() if path.is_file() and path.name[0] != ".")
    return files.sha256(sorted(visible))


def trl_function(reward: Reward) -> Callable[..., list[float]]:
    """The reward as one of TRL's: of prompts and completions, one number a completion.

    For `reward_funcs` of `trl.GRPOTrainer`. Of a conversation the last message is the question; where it is
    the assistant's, the trace goes on from it and the question is the message before. A plain prompt is a
    question as it stands, without a chat template's marks. An empty completion gets the lowest reward of its
    batch. The function raises ValueError for a prompt without a question, and for content that is not text.
    """

    def learned_reward(prompts, completions, **_) -> list[float]:
        pairs = {}
        for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            try:
                (question, begun), rest = _asked(prompt), _last(completion)
            except ValueError as error:
                raise ValueError(f"row {i} of TRL's batch: {error}") from error
            if rest.strip():
                pairs[i] = (question, begun + rest)
        scores = reward.score_pairs(list(pairs.values()))
        found = {i: score.trace for i, score in zip(pairs, scores, strict=True)}
        lowest = min(found.values(), default=0.0)
        return [found.get(i, lowest) for i in range(len(prompts))]

    return learned_reward


def _asked(prompt: str | list[dict]) -> tuple[str, str]:
    """The question of a prompt, and what of the trace the prompt holds already."""
    begun = ""
    if not isinstance(prompt, str) and prompt and prompt[-1].get("role") == "assistant":
        *prompt, last = prompt
        begun = _text(last)
    question = _last(prompt)
    if not question.strip():
        raise ValueError("the prompt has no question; end it with a message of the user's")
    return question, begun


def _last(messages: str | list[dict]) -> str:
    """The text of the last message; none of no messages."""
    if isinstance(messages, str):
        return messages
    return _text(messages[-1]) if messages else ""


def _text(message: dict) -> str:
    """A message's content: a text, or parts that are texts; None where a message says nothing."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
        raise ValueError("a message has a part that is not text; the reward reads text alone")
    return "".join(part["text"] for part in content)
