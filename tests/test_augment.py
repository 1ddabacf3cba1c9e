"""Image and labels change together, and only as documented."""

import numpy as np
import pytest

from helpers.augment import flip_and_turn, vary_intensity, zoom_and_rotate


def draws(image, labels, n=200):
    rng = np.random.default_rng(0)
    return [flip_and_turn(image, labels, rng) for _ in range(n)]


def test_all_eight_flips_and_turns_of_a_square_occur():
    image = np.arange(4.0).reshape(2, 2)
    seen = {tuple(turned.ravel()) for turned, _ in draws(image, image.astype(int))}
    assert len(seen) == 8


def test_image_and_labels_stay_aligned_in_2d_and_3d():
    for shape in [(6, 6), (3, 6, 6)]:
        labels = np.random.default_rng(1).integers(0, 5, shape)
        assert all((x == y).all() for x, y in draws(labels * 1.0, labels))


def test_a_patch_that_is_not_square_keeps_its_shape():
    image = np.arange(6.0).reshape(2, 3)
    turned = [x for x, _ in draws(image, image.astype(int))]
    assert {x.shape for x in turned} == {(2, 3)}
    assert len({tuple(x.ravel()) for x in turned}) == 4


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"image has shape \(2, 2\) and labels \(3, 3\)"):
        flip_and_turn(np.zeros((2, 2)), np.zeros((3, 3), int), np.random.default_rng())


def test_intensity_without_noise_is_a_straight_line():
    image = np.linspace(0, 1, 11)
    varied = vary_intensity(image, np.random.default_rng(3), noise=0)
    gain, offset = np.polyfit(image, varied, 1)
    assert 0.7 <= gain <= 1.4 and abs(offset) <= 0.05
    assert varied == pytest.approx(gain * image + offset, abs=1e-6)
    assert varied.dtype == np.float32


def test_noise_has_at_most_the_wanted_deviation():
    rng = np.random.default_rng(4)
    flat = np.zeros((100, 100))
    deviations = [vary_intensity(flat, rng, noise=0.1).std() for _ in range(50)]
    assert 0.05 < max(deviations) < 0.105


def test_zoom_and_rotate_moves_image_and_labels_alike():
    labels = np.zeros((64, 64), np.int32)
    labels[20:44, 24:40] = 3
    image = (labels > 0).astype(np.float32)
    areas = []
    for seed in range(40):
        x, y = zoom_and_rotate(image, labels, np.random.default_rng(seed), probability=1)
        assert x.shape == y.shape == (64, 64)
        assert set(np.unique(y)) <= {0, 3}
        assert np.mean((x > 0.5) != (y > 0)) < 0.01  # the edges of both lie at one place
        areas.append(np.count_nonzero(y) / np.count_nonzero(labels))
    assert min(areas) == pytest.approx(0.7**2, abs=0.1)
    assert max(areas) == pytest.approx(1.4**2, abs=0.1)


def test_zoom_and_rotate_leaves_some_patches_as_they_are():
    image, labels = np.random.default_rng(0).normal(size=(16, 16)), np.ones((16, 16), int)
    same = [
        zoom_and_rotate(image, labels, np.random.default_rng(seed))[0] is image
        for seed in range(400)
    ]
    assert np.mean(same) == pytest.approx(0.3, abs=0.08)  # three standard errors are 0.07
    with pytest.raises(ValueError, match="patches of one shape"):
        zoom_and_rotate(image, labels[:8], np.random.default_rng(0))


def test_planes_of_a_stack_are_turned_alike_and_not_mixed():
    stack = np.stack([np.zeros((32, 32)), np.pad(np.ones((8, 16)), ((12, 12), (8, 8)))])
    turned, _ = zoom_and_rotate(stack, stack.astype(int), np.random.default_rng(1), probability=1)
    assert turned[0].max() == 0
    assert turned[1].max() == 1
