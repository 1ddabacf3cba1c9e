"""Seeds, watershed and their thresholds, on maps with known nuclei."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.fpn.watershed import (
    DEMO_RULE,
    PUBLISHED_RULE,
    WatershedRule,
    find_seeds,
    seeded_watershed,
    segment_maps,
)
from helpers.fpn.watershed_tuning import tune_seeded_watershed
from helpers.metrics import score_instances
from helpers.targets import border_ridge, normalized_distance

SIZES = {"large": (2400, 640), "medium": (540, 300), "small": (310, 240)}  # area, side of scene


def ellipse_scene(area, side, *, seed=0, coverage=0.45):
    """Ellipses of about `area` pixels; some touch, since later ones lose what is taken."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.int32)
    while (labels > 0).mean() < coverage:
        radius = np.sqrt(area * rng.uniform(0.6, 1.4) / np.pi)
        stretch, turn = np.sqrt(rng.uniform(1, 1.7)), rng.uniform(0, np.pi)
        corner = rng.integers(0, side - 2 * int(radius * stretch) - 2, 2)
        box = labels[tuple(slice(k, k + 2 * int(radius * stretch) + 2) for k in corner)]
        y, x = np.indices(box.shape) - np.reshape(box.shape, (2, 1, 1)) / 2
        along = (x * np.cos(turn) + y * np.sin(turn)) / (radius * stretch)
        across = (y * np.cos(turn) - x * np.sin(turn)) / (radius / stretch)
        ellipse = along**2 + across**2 <= 1
        if (box[ellipse] > 0).mean() < 0.08:
            box[ellipse & (box == 0)] = labels.max() + 1
    return labels


def perfect_maps(labels):
    return normalized_distance(labels), border_ridge(labels)


@pytest.fixture(scope="module", params=SIZES)
def scene(request):
    labels = ellipse_scene(*SIZES[request.param])
    return request.param, labels, perfect_maps(labels)


# perfect maps: what each rule can reach at all


def f1(scene, rule):
    _, labels, maps = scene
    scores = score_instances(labels, seeded_watershed(*maps, rule), thresholds=(0.7, 0.9))
    return scores.f1.tolist()


def test_mended_rule_finds_every_nucleus_of_perfect_maps(scene):
    assert f1(scene, WatershedRule()) == [1, 1]


def test_published_seeds_with_a_mask_do_so_too(scene):
    assert f1(scene, replace(PUBLISHED_RULE, foreground=0.05, border_cap=None)) == [1, 1]


def test_published_rule_loses_nuclei_of_perfect_maps(scene):
    name, *_ = scene
    at_70, at_90 = f1(scene, PUBLISHED_RULE)
    low, high = {"large": (0.5, 0.75), "medium": (0.95, 1), "small": (0.93, 1)}[name]
    assert low <= at_70 <= high
    # floods leave through diagonal outlines, which are lower than the limit
    assert at_90 < {"large": 0.75, "medium": 0.1, "small": 0.05}[name]
    assert f1(scene, DEMO_RULE)[1] < 1


def test_flood_without_a_mask_covers_the_background(scene):
    _, labels, maps = scene
    rule = replace(DEMO_RULE, min_area=0, max_area=10**9)
    assert seeded_watershed(*maps, rule).all() and (labels == 0).any()


# seeds


def test_seeds_lie_one_in_each_nucleus(scene):
    _, labels, (distance, _) = scene
    seeds = find_seeds(distance)
    pairs = np.unique(np.stack([labels[seeds > 0], seeds[seeds > 0]]), axis=1)
    assert seeds.max() == pairs.shape[1] == labels.max()
    assert seeds.dtype == np.int32


def row_of_seeds(values, **rule):
    bare = WatershedRule(**{"closing_radius": 0, "min_seed_area": 1, **rule})
    return find_seeds(np.array([values]), bare)[0].tolist()


def test_seed_threshold_is_exceeded_not_reached():
    assert row_of_seeds([0.67, 0.68, 0.5], seed=0.67) == [0, 1, 0]


def test_closing_joins_seeds_across_one_pixel():
    gap = np.zeros((7, 9))
    gap[2:5, 1:4] = gap[2:5, 5:8] = 1
    assert find_seeds(gap, WatershedRule(closing_radius=0)).max() == 2
    assert find_seeds(gap, WatershedRule(closing_radius=1)).max() == 1


def test_closing_leaves_a_seed_at_the_frame_whole():
    corner = np.zeros((6, 6))
    corner[:3, :3] = 1
    np.testing.assert_array_equal(find_seeds(corner) > 0, corner > 0)


def test_seeds_that_share_a_corner_are_two():
    assert find_seeds(np.eye(2), WatershedRule(closing_radius=0, min_seed_area=1)).max() == 2


def test_erosion_takes_the_outermost_pixels_of_each_seed():
    square = np.zeros((7, 7))
    square[1:6, 1:6] = 1
    inner = np.zeros((7, 7), int)
    inner[2:5, 2:5] = 1
    np.testing.assert_array_equal(find_seeds(square, WatershedRule(erosion=1)), inner)
    assert not find_seeds(square, WatershedRule(erosion=3)).any()


def test_small_seeds_are_dropped_and_the_numbers_close_up():
    assert row_of_seeds([1, 0, 1, 1, 0, 1, 1, 1], min_seed_area=2) == [0, 0, 1, 1, 0, 2, 2, 2]


# watershed

DISTANCE = np.array([[0, 0.3, 0.9, 0.3, 0.2, 0.3, 0.9, 0.3, 0]])
BORDER = np.array([[0.4, 0.1, 0, 0.2, 0.4, 0.3, 0, 0.1, 0.4]])  # the left slope is lower
BARE = WatershedRule(closing_radius=0, min_seed_area=1, min_area=1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 1, 1, 1, 1, 2, 2, 2, 0]),
        ({"foreground": 0.25}, [0, 1, 1, 1, 0, 2, 2, 2, 0]),
        ({"foreground": None}, [1, 1, 1, 1, 1, 2, 2, 2, 2]),
        ({"foreground": None, "border_cap": 0.2}, [0, 1, 1, 0, 0, 0, 2, 2, 0]),
        ({"min_area": 4}, [0, 1, 1, 1, 1, 0, 0, 0, 0]),
        ({"max_area": 3}, [0, 0, 0, 0, 0, 1, 1, 1, 0]),
        ({"seed": 0.95}, [0] * 9),
    ],
)
def test_thresholds_worked_out_by_hand(options, expected):
    labels = seeded_watershed(DISTANCE, BORDER, replace(BARE, **options))
    assert labels.dtype == np.int32
    assert labels[0].tolist() == expected


def test_a_foreground_map_takes_the_place_of_the_distance():
    foreground = np.array([[0.1, 0.9, 0.9, 0.6, 0.5, 0.6, 0.9, 0.4, 0.2]])
    labels = seeded_watershed(DISTANCE, BORDER, BARE, foreground=foreground)
    assert labels[0].tolist() == [0, 1, 1, 1, 0, 2, 2, 0, 0]
    wider = replace(BARE, mask=0.3)
    labels = seeded_watershed(DISTANCE, BORDER, wider, foreground=foreground)
    assert labels[0].tolist() == [0, 1, 1, 1, 1, 2, 2, 2, 0]
    stacked = np.stack([DISTANCE, BORDER, foreground], axis=-1)
    np.testing.assert_array_equal(segment_maps(stacked, wider), labels)
    plain = seeded_watershed(DISTANCE, BORDER, BARE)
    np.testing.assert_array_equal(segment_maps(stacked[..., :2], BARE), plain)
    with pytest.raises(ValueError, match=r"foreground has shape \(1, 3\) and distance \(1, 9\)"):
        seeded_watershed(DISTANCE, BORDER, foreground=foreground[:, :3])
    with pytest.raises(ValueError, match=r"maps has shape \(1, 9\)"):
        segment_maps(DISTANCE)


def test_border_parts_seeds_that_the_distance_joins():
    distance = np.array([[0.8, 0.8, 0.7, 0.8, 0.8]])
    border = np.array([[0, 0.1, 0.4, 0.1, 0]])
    assert find_seeds(distance, BARE, border=border)[0].tolist() == [1, 1, 1, 1, 1]
    weighted = replace(BARE, border_weight=0.5)  # 0.7 - 0.5 * 0.4 is below 0.67
    assert find_seeds(distance, weighted, border=border)[0].tolist() == [1, 1, 0, 2, 2]
    assert seeded_watershed(distance, border, weighted).max() == 2


def test_the_border_map_decides_where_touching_nuclei_part():
    distance = np.full((5, 11), 0.5)
    distance[1:4, 1:3] = distance[1:4, 8:10] = 1
    for ridge in (4, 5, 6):
        border = np.zeros((5, 11))
        border[:, ridge] = 0.4
        labels = seeded_watershed(distance, border)
        assert (labels[:, :ridge] == 1).all() and (labels[:, ridge + 1 :] == 2).all()


def test_maps_without_nuclei_give_an_empty_label_image():
    labels = seeded_watershed(np.zeros((4, 5)), np.zeros((4, 5)))
    assert labels.shape == (4, 5) and not labels.any()


@pytest.mark.parametrize(
    ("distance", "border", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), r"distance has shape \(2, 3\) and border \(3, 2\)"),
        (np.zeros((2, 3, 1)), np.zeros((2, 3)), r"distance has shape \(2, 3, 1\)"),
        (np.full((2, 3), np.nan), np.zeros((2, 3)), "distance holds NaN"),
        (np.zeros((2, 3)), np.full((2, 3), np.nan), "border holds NaN"),
    ],
)
def test_maps_must_fit(distance, border, message):
    with pytest.raises(ValueError, match=message):
        seeded_watershed(distance, border)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"erosion": -1}, "erosion is -1"),
        ({"closing_radius": None}, "closing_radius is None"),
        ({"seed": float("nan")}, "seed is nan"),
        ({"border_cap": -0.1}, "border_cap is -0.1"),
        ({"foreground": 0.7}, "foreground is 0.7 and seed 0.67"),
        ({"min_area": 9, "max_area": 8}, "min_area 9 is larger than max_area 8"),
    ],
)
def test_rule_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        WatershedRule(**options)


# tuning


@pytest.fixture(scope="module")
def predicted():
    """Two scenes whose maps are lower than perfect, as those of a network."""
    labels = [ellipse_scene(310, 100, seed=seed, coverage=0.3) for seed in (1, 2)]
    maps = [np.stack(perfect_maps(y), axis=-1) * [0.6, 1] for y in labels]
    return maps, labels


def test_tuning_finds_the_threshold_that_the_maps_need(predicted):
    maps, labels = predicted
    assert not seeded_watershed(maps[0][..., 0], maps[0][..., 1]).any()  # 0.6 is below 0.67
    rule, trials = tune_seeded_watershed(maps, labels, grid={"seed": [0.67, 0.58, 0.4]})
    assert rule == WatershedRule(seed=0.4)
    assert trials["seed"].tolist() == [0.67, 0.58, 0.4]
    assert trials["f1"].idxmax() == 2 and trials["f1"][0] == 0


def test_tuning_scores_as_the_evaluation_does(predicted):
    from helpers.metrics import score_dataset

    maps, labels = predicted
    start = WatershedRule(erosion=1)
    rule, trials = tune_seeded_watershed(maps, labels, grid={"seed": [0.4]}, start=start)
    assert rule == replace(start, seed=0.4)
    found = [seeded_watershed(pair[..., 0], pair[..., 1], rule) for pair in maps]
    assert trials["f1"][0] == pytest.approx(score_dataset(labels, found).mean["f1_70"])


def test_of_equally_good_rules_the_one_with_the_better_outlines_wins(predicted):
    grid = {"seed": [0.4], "foreground": [0.08, 0.02]}  # 0.08 takes the outermost pixels off
    rule, trials = tune_seeded_watershed(*predicted, grid=grid, iou=0.6)
    assert trials["f1"].tolist() == [1, 1] and trials["f1_90"][0] < trials["f1_90"][1]
    assert rule.foreground == 0.02
    worse = {"seed": [0.55, 0.4], "foreground": [0.02]}
    rule, trials = tune_seeded_watershed(*predicted, grid=worse, tolerance=0)
    assert rule.seed == trials["seed"][trials["f1"].idxmax()]


def test_tuning_without_a_grid_tries_seeds_foreground_and_areas(predicted):
    maps, labels = predicted
    rule, trials = tune_seeded_watershed(maps[:1], labels[:1])
    assert list(trials) == ["seed", "foreground", "min_area", "f1", "f1_90"]
    assert len(trials) == 5 * 6 * 2
    assert trials["f1"].max() == 1 and rule.seed < 0.6


def test_with_a_foreground_map_its_threshold_is_tuned(predicted):
    maps, labels = predicted
    three = [np.dstack([m, np.where(y > 0, 0.55, 0.45)]) for m, y in zip(maps, labels, strict=True)]
    rule, trials = tune_seeded_watershed(three[:1], labels[:1])
    assert list(trials) == ["seed", "mask", "border_weight", "min_area", "f1", "f1_90"]
    assert trials["f1_90"].max() == 1 and rule.mask == 0.5 and rule.seed < 0.6


def test_tuning_says_what_it_cannot_try(predicted):
    with pytest.raises(ValueError, match="grid has sigma: give fields of WatershedRule"):
        tune_seeded_watershed(*predicted, grid={"sigma": [1]})
    with pytest.raises(ValueError, match="maps is empty"):
        tune_seeded_watershed([], [])
