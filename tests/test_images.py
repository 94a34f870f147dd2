import io

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from lib import images


def png(pixels_HW3: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels_HW3).save(buffer, "png")
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_an_image_of_few_colours_stays_as_it_is():
    rng = np.random.default_rng(0)
    drawn_HW3 = rng.integers(0, 256, (images.COLOURS, 3), dtype=np.uint8)[rng.integers(0, 40, (60, 80))]
    assert (pixels(images.with_few_colours(png(drawn_HW3))) == drawn_HW3).all()


def test_an_image_of_many_colours_stays_close():
    ramp_HW3 = np.stack([np.add.outer(np.arange(128), np.arange(128))] * 3, axis=-1).astype(np.uint8)
    ramp_HW3[..., 1] //= 2
    after = images.with_few_colours(png(ramp_HW3))
    assert len(np.unique(pixels(after).reshape(-1, 3), axis=0)) <= images.COLOURS
    assert np.abs(pixels(after).astype(int) - ramp_HW3).max() < 16


def test_a_figure_takes_less_than_half_and_always_the_same_bytes():
    figure, axis = plt.subplots()
    axis.plot(np.sin(np.arange(200) / 9), label="sine")
    axis.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    before = buffer.getvalue()
    after = images.with_few_colours(before)
    assert len(after) < len(before) / 2 and images.with_few_colours(before) == after
