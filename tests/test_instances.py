"""The classical baseline on images whose objects are known."""

import json

import numpy as np
import pytest

from helpers.instances import otsu_watershed, tune_otsu_watershed
from helpers.metrics import score_instances


def draw_balls(shape, centres, radius, spacing=None):
    """Return a label image of balls; radius and centres are in the unit of spacing."""
    spacing = [1] * len(shape) if spacing is None else spacing
    grids = np.meshgrid(
        *[np.arange(n) * s for n, s in zip(shape, spacing, strict=True)], indexing="ij"
    )
    labels = np.zeros(shape, np.int32)
    for label, centre in enumerate(centres, 1):
        squares = sum((g - c) ** 2 for g, c in zip(grids, centre, strict=True))
        labels[squares < radius**2] = label
    return labels


def make_image(labels, seed=0):
    """Return bright objects on a dark background with little noise."""
    noise = np.random.default_rng(seed).normal(0, 3, labels.shape)
    return 20 + 100.0 * (labels > 0) + noise


# two touching disks and a free one; the third and fourth corner stay empty
DISKS = draw_balls((80, 90), [(20, 20), (20, 42), (60, 60)], 12)


def test_touching_disks_are_parted():
    found = otsu_watershed(make_image(DISKS))
    assert found.dtype == np.int32 and found.shape == DISKS.shape
    assert set(np.unique(found)) == {0, 1, 2, 3}
    assert score_instances(DISKS, found).tp[8] == 3  # at IoU 0.9


@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0), (500, 0), (1, -1000), (1, 1e4)])
def test_the_intensity_scale_does_not_matter(scale, shift):
    found = otsu_watershed(make_image(DISKS))
    again = otsu_watershed(make_image(DISKS) * scale + shift)
    assert ((again > 0) != (found > 0)).mean() < 0.002
    assert again.max() == 3


def test_integer_images_work():
    found = otsu_watershed(make_image(DISKS).astype(np.uint8))
    assert found.max() == 3


@pytest.mark.parametrize("value", [0, 0.1, 255, 1e6])
def test_a_constant_image_has_no_objects(value):
    found = otsu_watershed(np.full((40, 50), value))
    assert found.dtype == np.int32 and found.shape == (40, 50) and not found.any()


def test_a_mostly_bright_image_is_one_object():
    image = np.full((40, 40), 200.0)
    image[:, :4] = 10
    assert (otsu_watershed(image) > 0).mean() == pytest.approx(0.9, abs=0.03)


def test_small_objects_are_dropped_and_numbers_stay_gapless():
    labels = DISKS.copy()
    labels[2:6, 80:84] = 4
    assert otsu_watershed(make_image(labels), min_area=5, min_distance=4).max() == 4
    found = otsu_watershed(make_image(labels), min_area=30, min_distance=4)
    assert set(np.unique(found)) == {0, 1, 2, 3}


def test_min_distance_decides_over_merges():
    assert otsu_watershed(make_image(DISKS), min_distance=60).max() < 3


def test_a_factor_below_one_brings_dim_objects_in():
    image = make_image(DISKS)
    image[DISKS == 3] -= 75  # 45, on a background of 20, beside objects of 120
    assert otsu_watershed(image).max() == 2
    assert otsu_watershed(image, threshold_factor=0.3).max() == 3
    # a camera offset must not change where the threshold lies
    np.testing.assert_array_equal(
        otsu_watershed(image + 1000, threshold_factor=0.3) > 0,
        otsu_watershed(image, threshold_factor=0.3) > 0,
    )


def test_spacing_parts_balls_in_thick_slices():
    # radius 6 µm, 11 µm apart in Y; slices 3 µm thick, pixels 1 µm
    spacing = (3, 1, 1)
    balls = draw_balls((10, 40, 30), [(15, 13, 15), (15, 24, 15)], 6, spacing)
    found = otsu_watershed(make_image(balls), spacing=spacing, min_distance=5)
    assert found.max() == 2
    assert score_instances(balls, found).tp[4] == 2


def test_tuning_finds_the_values_that_work():
    images, labels = [make_image(DISKS, 1), make_image(DISKS.T, 2)], [DISKS, DISKS.T]
    best = tune_otsu_watershed(
        images, labels, grid={"min_distance": [60, 8], "min_area": [5000, 30]}
    )
    assert best == {"min_distance": 8, "min_area": 30, "spacing": None}


def test_tuning_by_itself_scales_with_the_objects():
    best = tune_otsu_watershed([make_image(DISKS)], [DISKS])
    # radius 12 and 439 pixels at most: fractions of both
    assert best["min_distance"] in (pytest.approx(6, rel=0.05), pytest.approx(9.6, rel=0.05))
    assert best["min_area"] == pytest.approx(44, abs=3)
    assert json.loads(json.dumps(best)) == best
    assert score_instances(DISKS, otsu_watershed(make_image(DISKS, 5), **best)).tp[0] == 3


def test_tuning_a_volume_scales_with_the_voxel_size():
    spacing = (3, 1, 1)
    balls = draw_balls((10, 40, 30), [(15, 13, 15), (15, 24, 15)], 6, spacing)
    best = tune_otsu_watershed([make_image(balls)], [balls], spacing=spacing)
    assert best["min_distance"] in (pytest.approx(3, rel=0.1), pytest.approx(4.8, rel=0.1))
    assert best["spacing"] == spacing


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: otsu_watershed(np.zeros((9, 9, 3))), r"\(9, 9, 3\).*one channel"),
        (lambda: otsu_watershed(np.zeros(9)), "YX or ZYX"),
        (lambda: otsu_watershed(np.full((9, 9), np.nan)), "NaN"),
        (lambda: otsu_watershed(np.zeros((9, 9)), spacing=(1, 1, 1)), "2 axes"),
        (lambda: otsu_watershed(np.zeros((9, 9)), spacing=(0, 1)), "positive"),
        (lambda: tune_otsu_watershed([], []), "no label images"),
        (lambda: tune_otsu_watershed([DISKS], [0 * DISKS]), "hold no objects"),
        (lambda: tune_otsu_watershed([DISKS, DISKS], [DISKS]), "1 true images, 2 predictions"),
    ],
)
def test_errors_say_what_to_mend(call, message):
    with pytest.raises(ValueError, match=message):
        call()
