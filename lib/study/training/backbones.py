"""What a backbone of the study is trained on from scratch, and its tokenizer."""

import random
from collections.abc import Iterator
from itertools import islice

from lib.data import splits, texts
from lib.data.problems import LARGEST
from lib.models import scratch
from lib.schema import Params


def corpus(settings: Params, rng: random.Random) -> Iterator[tuple[str, str]]:
    """What backbones are trained on, endless: the world's unreliable solutions, or a dataset's experts.

    Validation and test questions never occur.
    """
    if settings.data.dataset != "world":
        return texts.expert_texts(rng, splits.split("demonstrations"))
    held_out = frozenset(row.question for name in ("validation", "test") for row in splits.split(name))
    return texts.world_texts(rng, settings.data.steps, settings.pretraining.malformed, held_out)


def tokenizer(settings: Params):
    """The tokenizer of every backbone that is trained from scratch, itself trained on the same texts."""
    if settings.data.dataset != "world":
        seen = [text for row in splits.split("demonstrations") for text in (row.question, row.trace)]
        return scratch.train_tokenizer(seen, whole_numbers=0)
    rng = random.Random(settings.data.seed)
    drawn = texts.world_texts(rng, settings.data.steps, settings.pretraining.malformed)
    seen = [text for pair in islice(drawn, 2000) for text in pair]
    return scratch.train_tokenizer(seen, whole_numbers=LARGEST)
