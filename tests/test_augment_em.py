"""Image and mask are disturbed alike, and only as documented."""

import numpy as np
import pytest

from helpers.augment.bend import bend_tissue, bending_field
from helpers.augment.em import (
    augment_em,
    blur_focus,
    hide_sections,
    misalign_sections,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def ball(shape):
    centre = [side / 2 for side in shape]
    places = np.indices(shape)
    square = sum(((p - c) / (s / 3)) ** 2 for p, c, s in zip(places, centre, shape, strict=True))
    return (square < 1).astype(np.uint8)


@pytest.mark.parametrize("shape", [(48, 56), (12, 40, 48)])
def test_image_and_mask_are_bent_alike(shape):
    mask = ball(shape)
    bent, bent_mask = bend_tissue(mask.astype(np.float32), mask, rng())
    assert bent.shape == bent_mask.shape == shape
    assert (bent.dtype, bent_mask.dtype) == (np.float32, np.uint8)
    assert set(np.unique(bent_mask)) == {0, 1}
    assert np.mean((bent > 0.5) != bent_mask) < 0.01
    assert 0.02 < np.mean(bent_mask != mask) < 0.5


def test_bending_by_nothing_changes_nothing():
    image = rng().random((9, 20, 21), np.float32)
    bent, mask = bend_tissue(image, image > 0.5, rng(), amplitude=0)
    assert bent == pytest.approx(image, abs=1e-6)
    assert (mask == (image > 0.5)).all()


def test_displacements_have_the_wanted_size_along_each_axis():
    fields = np.array(
        [bending_field((8, 33, 33), rng(seed), amplitude=(0, 1, 2), scale=16) for seed in range(60)]
    )
    corners = fields[:, :, 0, ::16, ::16]  # where the control points are: exact there
    assert corners.std(axis=(0, 2, 3)) == pytest.approx([0, 1, 2], rel=0.12)
    assert abs(corners.mean()) < 0.3


def test_the_field_is_smooth_and_does_not_fold():
    folded = []
    for seed in range(20):
        field = bending_field((64, 64), rng(seed))
        stretch = 1 + np.gradient(field[0], axis=0)
        shear = np.gradient(field[0], axis=1) * np.gradient(field[1], axis=0)
        area = stretch * (1 + np.gradient(field[1], axis=1)) - shear
        assert np.abs(np.diff(field, n=2, axis=1)).max() < 0.2
        folded.append(np.mean(area <= 0))
    assert np.mean(folded) < 0.002


def test_bending_in_three_dimensions_differs_from_slice_to_slice():
    field = bending_field((32, 40, 40), rng(2), scale=(24, 24, 24))
    assert np.abs(field[:, 0] - field[:, -1]).mean() > 1
    flat = bending_field((32, 40, 40), rng(2), amplitude=(0, 4, 4))
    assert not flat[0].any() and flat[1].any()


def test_field_equals_an_independent_spline():
    values = rng(5)
    field = bending_field((25, 31), rng(5), amplitude=1, scale=8)
    points = values.normal(0, 1, (4, 5))
    from scipy.interpolate import RectBivariateSpline

    smooth = RectBivariateSpline(np.linspace(0, 24, 4), np.linspace(0, 30, 5), points)
    assert field[0] == pytest.approx(smooth(np.arange(25), np.arange(31)), abs=1e-5)


def stack():
    planes = rng(1).random((6, 20, 22)).astype(np.float32)
    return planes, (planes > 0.5).astype(np.uint8)


def test_sections_are_shifted_whole_with_their_mask():
    image, mask = stack()
    n_moved = []
    for seed in range(60):
        x, y = misalign_sections(image, mask, rng(seed), largest=5)
        assert (y == (x > 0.5)).all()
        moved = np.flatnonzero([(a != b).any() for a, b in zip(x, image, strict=True)])
        if not moved.size:
            continue  # a shift of 0 is drawn too
        n_moved.append(moved.size)
        assert moved[0] > 0
        assert (np.diff(moved) == 1).all()
        assert moved.size == 1 or moved[-1] == 5
        fit = [
            np.allclose(x[moved[0]][5:-5, 5:-5], np.roll(image[moved[0]], s, (0, 1))[5:-5, 5:-5])
            for s in np.ndindex(11, 11)
            for s in [(s[0] - 5, s[1] - 5)]
        ]
        assert sum(fit) == 1
    assert {1, 5} <= set(n_moved)


def test_a_shift_in_one_direction_is_worked_out_by_hand():
    class Draws:
        def integers(self, *args):
            return np.array([1, -2]) if len(args) == 3 else 1

        def random(self):
            return 0.9  # all behind it

    image = np.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    shifted, _ = misalign_sections(image, image, Draws(), largest=2)
    assert (shifted[0] == image[0]).all()
    # down by one row, left by two columns; the mirror image comes in from above and right
    assert shifted[1].tolist() == [[18, 19, 18, 17], [14, 15, 14, 13], [18, 19, 18, 17]]


def test_missing_sections_are_whole_and_few():
    image = np.ones((5, 8, 8))
    lost = [(hide_sections(image, rng(s), n_most=2) == 0).all((1, 2)).sum() for s in range(40)]
    assert set(lost) == {1, 2}
    assert image.all()


def test_a_stripe_is_missing_from_a_single_section():
    image = np.ones((60, 60), np.float32)
    shares = []
    for seed in range(60):
        hidden = hide_sections(image, rng(seed), width=0.2, value=-1)
        assert set(np.unique(hidden)) <= {-1, 1}
        shares.append(np.mean(hidden < 0))
    assert 0.1 < max(shares) < 0.29  # at most 0.2 of the side wide, 1.41 sides long
    assert image.all()


def test_blur_keeps_the_mean_and_lowers_the_contrast():
    image = rng(3).random((4, 32, 32)).astype(np.float32)
    blurred = blur_focus(image, rng(4), largest=2)
    assert blurred.mean(axis=(1, 2)) == pytest.approx(image.mean(axis=(1, 2)), abs=0.01)
    assert blurred.std() < image.std()


@pytest.mark.parametrize("shape", [(32, 32), (8, 32, 32)])
def test_everything_together_keeps_mask_and_image_aligned(shape):
    mask = ball(shape)
    for seed in range(25):
        source = rng(seed)
        x, y = augment_em(4 * mask.astype(np.float32), mask, source, hide=0)
        assert x.shape == y.shape == shape and x.dtype == np.float32
        inside, outside = x[y > 0].mean(), x[y == 0].mean()
        assert inside - outside > 2


def test_equal_seeds_give_equal_patches():
    mask = ball((8, 32, 32))
    pairs = [augment_em(mask.astype(np.float32), mask, rng(7), bend=1, hide=1) for _ in range(2)]
    assert all((a == b).all() for a, b in zip(*pairs, strict=True))


FLAT, STACK = np.zeros((8, 8)), np.zeros((4, 8, 8))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bend_tissue(FLAT, STACK, rng()), "patches of one shape"),
        (lambda: bend_tissue(FLAT, FLAT, rng(), scale=20), "folds over"),
        (lambda: bend_tissue(FLAT, FLAT, rng(), scale=(40, 40, 40)), "scale .* one per axis"),
        (lambda: misalign_sections(FLAT, FLAT, rng()), "give a stack ZYX"),
        (lambda: misalign_sections(STACK, STACK, rng(), largest=8), "larger in Y and X"),
        (lambda: hide_sections(STACK, rng(), n_most=4), "fewer than there are"),
    ],
)
def test_errors_say_what_to_mend(call, message):
    with pytest.raises(ValueError, match=message):
        call()
