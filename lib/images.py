"""Makes images small: a plot has few colours."""

import io

from PIL import Image

COLOURS = 128  # a plot's own and their mixtures at edges


def with_few_colours(png: bytes) -> bytes:
    """A PNG, without transparency, in a palette of at most `COLOURS`: a third of the bytes."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    result = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(result, "png", optimize=True)
    return result.getvalue()
