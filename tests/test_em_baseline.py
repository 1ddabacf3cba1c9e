"""The classical rival finds dark thick bodies, and is tuned as it is scored."""

from itertools import product

import numpy as np
import pytest

from helpers.em.baseline import find_dark_bodies, multi_otsu_mask, tune_dark_bodies
from helpers.metrics import score_masks


def scene(seed=0):
    """A dark ball, a thin dark sheet and a dark speck in bright noise."""
    z, y, x = np.indices((20, 48, 48))
    ball = (z - 10) ** 2 + (y - 16) ** 2 + (x - 16) ** 2 < 8**2
    dark = ball | (x == 38) | ((np.abs(y - 42) < 2) & (np.abs(x - 8) < 2) & (np.abs(z - 5) < 2))
    noise = np.random.default_rng(seed).normal(0, 12, dark.shape)
    return np.where(dark, 80, 160) + noise, ball.astype(np.uint8)


def test_what_is_thin_or_small_is_left_out():
    image, ball = scene()
    settings = dict(sigma=1, quantile=0.07)
    everything = find_dark_bodies(image, **settings, opening=0, min_size=0)
    assert everything[:, :, 38].mean() > 0.5
    found = find_dark_bodies(image, **settings, opening=3, min_size=500)
    assert score_masks(ball, found)["iou"] > 0.85
    assert not found[:, :, 30:].any() and not found[:, 38:].any()


def test_opening_keeps_bodies_at_the_border():
    image = np.full((30, 30), 160.0)
    image[:12, :12] = 80
    found = find_dark_bodies(image, sigma=0.5, quantile=0.16, opening=4, min_size=10)
    assert found[:8, :8].all() and found[20:].sum() == 0


def test_multi_otsu_takes_the_darkest_class():
    image, ball = scene()
    found = multi_otsu_mask(image, sigma=1, opening=3, min_size=500)
    assert score_masks(ball, found)["iou"] > 0.7


def test_tuning_gives_the_best_of_the_grid():
    image, ball = scene()
    grid = {"sigma": (1, 4), "quantile": (0.02, 0.07), "opening": (0, 3), "min_size": (0, 500)}
    best = tune_dark_bodies([image], [ball], grid=grid)
    every = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    scores = [score_masks(ball, find_dark_bodies(image, **trial))["iou"] for trial in every]
    assert score_masks(ball, find_dark_bodies(image, **best))["iou"] == max(scores)
    assert best["opening"] == 3


def test_images_and_masks_must_fit():
    with pytest.raises(ValueError, match="mask of each image"):
        tune_dark_bodies([np.zeros((4, 4))], [np.zeros((4, 5))])
