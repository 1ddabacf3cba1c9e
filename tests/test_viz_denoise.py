"""Pictures for denoising show what their titles say."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers.denoise import blindspot
from helpers.viz import denoise as viz_denoise


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 16)])
def test_every_hidden_pixel_of_the_shown_plane_is_marked(shape):
    rng = np.random.default_rng(0)
    patch = rng.normal(size=(1, *shape)).astype(np.float32)
    inputs, targets = blindspot.mask_pixels(patch, rng=rng, percent=10)
    axes = viz_denoise.show_blind_spots(patch[0], inputs[0], targets[0])
    hidden = targets[0, ..., 1] if len(shape) == 2 else targets[0, len(patch[0]) // 2, ..., 1]
    marked = {(round(p.get_y() + 0.5), round(p.get_x() + 0.5)) for p in axes[0].patches}
    assert marked == {tuple(place) for place in np.argwhere(hidden)}


@pytest.mark.parametrize("shape", [(48, 48), (4, 48, 48)])
def test_residual_panels(shape):
    rng = np.random.default_rng(0)
    signal = rng.uniform(0, 100, shape)
    axes = viz_denoise.show_residual(signal + rng.normal(0, 5, shape), signal)
    residual = axes[0].images[0].get_array()
    assert residual.shape == (48, 48)
    assert residual.std() == pytest.approx(5, rel=0.1)
    assert axes[1].images[0].get_array()[6, 6] == 1
    assert len(axes[2].lines[0].get_xdata()) == 12


def test_answer_has_one_grey_scale():
    empty = np.random.default_rng(0).normal(100, 10, (32, 32))
    axes = viz_denoise.show_answer(empty, np.full((32, 32), 100.0))
    assert axes[0].images[0].get_clim() == axes[1].images[0].get_clim()
