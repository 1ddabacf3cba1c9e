"""Blind-spot batches: which pixels are hidden, and by what they are replaced."""

from itertools import islice

import numpy as np
import pytest

from helpers.denoise.blindspot import blind_spot_batches, choose_pixels, draw_patches, mask_pixels


def rng(seed=0):
    return np.random.default_rng(seed)


def distinct(shape):
    """Return patches in which every value occurs once."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize(
    ("shape", "percent", "box"), [((3, 24, 32), 1.5, 8), ((2, 8, 12, 8), 1.6, 4)]
)
def test_one_pixel_in_each_box(shape, percent, box):
    places = np.stack(choose_pixels(shape, rng=rng(), percent=percent), -1)
    boxes = {tuple([p[0], *(p[1:] // box)]) for p in places.tolist() for p in [np.array(p)]}
    expected = shape[0] * np.prod([side // box for side in shape[1:]])
    assert len(places) == len(boxes) == expected


def test_pixels_of_patches_and_draws_differ_and_cover_all_places():
    draws = [np.stack(choose_pixels((2, 16, 16), rng=rng(s), percent=1.5)) for s in range(300)]
    assert not np.array_equal(draws[0][1:, :4], draws[0][1:, 4:])
    hit = np.zeros((16, 16), int)
    for _, y, x in draws:
        np.add.at(hit, (y, x), 1)
    # 600 draws over 64 places of a box: 9.4 on average; never to hit one has odds of 1 to 10,000
    assert hit.min() >= 1
    assert hit.max() < 30


def test_boxes_that_stick_out_may_lose_their_pixel():
    counts = [len(choose_pixels((1, 10, 10), rng=rng(s), percent=1.5)[0]) for s in range(40)]
    assert min(counts) >= 1  # the box at the corner lies whole inside
    assert 1 < np.mean(counts) < 3  # 100 pixels / 64


@pytest.mark.parametrize("shape", [(4, 24, 24), (2, 8, 16, 16)])
@pytest.mark.parametrize("replace_by", ["neighbour", "median"])
def test_targets_hold_true_values_at_hidden_pixels_only(shape, replace_by):
    patches = distinct(shape)
    inputs, targets = mask_pixels(patches, rng=rng(), radius=2, replace_by=replace_by)
    hidden = targets[..., 1] == 1
    assert inputs.shape == (*shape, 1)
    assert targets.shape == (*shape, 2)
    assert 0.005 < hidden.mean() < 0.05
    np.testing.assert_array_equal(targets[..., 0], np.where(hidden, patches, 0))
    np.testing.assert_array_equal(inputs[..., 0][~hidden], patches[~hidden])
    np.testing.assert_array_equal(patches, distinct(shape))  # what was given stays as it was


@pytest.mark.parametrize("shape", [(6, 24, 24), (2, 8, 16, 16)])
def test_neighbours_lie_in_the_same_patch_within_reach_and_are_never_the_pixel_itself(shape):
    patches = distinct(shape)
    for seed in range(5):
        inputs, targets = mask_pixels(patches, rng=rng(seed), radius=3)
        places = np.argwhere(targets[..., 1] == 1)
        origins = np.stack(np.unravel_index(inputs[..., 0][tuple(places.T)].astype(int), shape), -1)
        steps = origins - places
        assert (steps[:, 0] == 0).all()
        assert np.abs(steps).max() <= 3
        assert steps.any(axis=1).all()


def test_every_neighbour_is_equally_likely_also_at_a_corner():
    patch = distinct((1, 3, 3))
    drawn = np.zeros(9, int)
    for seed in range(2000):
        inputs, targets = mask_pixels(patch, rng=rng(seed), percent=100 / 9, radius=1)
        if targets[0, 0, 0, 1]:  # the corner was hidden: its neighbours are 1, 3 and 4
            drawn[int(inputs[0, 0, 0, 0])] += 1
    assert set(np.flatnonzero(drawn)) == {1, 3, 4}
    share = drawn[[1, 3, 4]] / drawn.sum()
    assert np.abs(share - 1 / 3).max() < 0.12  # about 220 draws: three standard errors are 0.095


def test_median_is_that_of_the_neighbours_without_the_pixel():
    patches = rng(5).normal(size=(2, 9, 9)).astype(np.float32)
    inputs, targets = mask_pixels(patches, rng=rng(), percent=4, radius=2, replace_by="median")
    for n, y, x in np.argwhere(targets[..., 1] == 1):
        window = patches[n, max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].ravel().tolist()
        window.remove(patches[n, y, x])
        assert inputs[n, y, x, 0] == pytest.approx(np.median(window))


def test_masking_is_refused_where_it_makes_no_sense():
    patches = distinct((1, 8, 8))
    with pytest.raises(ValueError, match="replace_by is 'mean'"):
        mask_pixels(patches, rng=rng(), replace_by="mean")
    with pytest.raises(ValueError, match="radius is 0"):
        mask_pixels(patches, rng=rng(), radius=0)
    with pytest.raises(ValueError, match="percent is 0"):
        mask_pixels(patches, rng=rng(), percent=0)
    with pytest.raises(ValueError, match="a box of 10 pixels"):
        mask_pixels(patches, rng=rng(), percent=1)


def test_patches_are_windows_flipped_and_turned():
    image = distinct((12, 15))
    patches = draw_patches([image], (4, 4), 400, rng=rng())
    steps = set()
    for patch in patches:
        down, right = patch[1, 0] - patch[0, 0], patch[0, 1] - patch[0, 0]
        np.testing.assert_array_equal(
            patch, patch[0, 0] + down * np.arange(4)[:, None] + right * np.arange(4)
        )
        steps.add((down, right))
    assert len(steps) == 8


def test_large_images_give_more_patches_and_small_ones_none():
    images = [np.zeros((8, 8)), np.ones((8, 24)), np.full((4, 9), 2.0)]
    patches = draw_patches(images, (8, 8), 400, rng=rng())
    share = [(patches[:, 0, 0] == value).mean() for value in (0, 1, 2)]
    assert share[0] == pytest.approx(0.25, abs=0.08)
    assert share[2] == 0
    with pytest.raises(ValueError, match="no image is as large as a patch of \\(16, 16\\)"):
        draw_patches(images, (16, 16), 1, rng=rng())


def test_batches_depend_on_seed_and_epoch_alone():
    images = [rng(1).normal(size=(32, 32)).astype(np.float32)]

    def first(seed, epoch):
        batches = blind_spot_batches(images, (16, 16), batch_size=2, seed=seed)
        return [inputs for inputs, _ in islice(batches(epoch), 2)]

    np.testing.assert_array_equal(first(1, 0), first(1, 0))
    assert not np.array_equal(first(1, 0), first(1, 1))
    assert not np.array_equal(first(1, 0), first(2, 0))
    assert not np.array_equal(*first(1, 0))
    with pytest.raises(ValueError, match="lower patch_size"):
        blind_spot_batches(images, (64, 64), batch_size=2)
