"""Filters, thresholds and objects against hand-made volumes and independent counts."""

import numpy as np
import pytest

from helpers.em.mask_volume import (
    choose_threshold,
    drop_small,
    measure_objects,
    median_filter_z,
    split_touching,
    sweep_thresholds,
)
from helpers.metrics import score_masks


def test_median_along_z_is_worked_out_by_hand():
    column = np.array([0, 1, 0, 0, 1, 1, 1], float).reshape(7, 1, 1)
    assert median_filter_z(column, size=3).ravel().tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert median_filter_z(column > 0, size=3).dtype == bool


def test_median_along_z_leaves_planes_alone_and_zy_does_not():
    volume = np.zeros((9, 9, 9))
    volume[:, 4, 4] = 1  # a thin line along z
    assert (median_filter_z(volume) == volume).all()
    assert not median_filter_z(volume, axes="zy").any()
    volume[:] = 0
    volume[:, 2:7, 4] = 1  # five rows wide: stays
    assert (median_filter_z(volume, axes="zy")[:, 3:6] == volume[:, 3:6]).all()


def test_median_of_zy_agrees_with_a_median_per_column():
    volume = np.random.default_rng(0).random((8, 9, 3))
    padded = np.pad(volume, [(2, 2), (2, 2), (0, 0)], mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(0, 1))
    assert median_filter_z(volume, axes="zy") == pytest.approx(np.median(windows, axis=(-2, -1)))


def test_sweep_agrees_with_the_score_at_every_threshold():
    rng = np.random.default_rng(1)
    masks = [rng.random((20, 20)) > 0.7, rng.random((5, 9, 9)) > 0.9]
    predictions = [np.clip(0.4 * m + 0.6 * rng.random(m.shape), 0, 1) for m in masks]
    sweep = sweep_thresholds([p.astype(np.float32) for p in predictions], masks)
    assert sweep["threshold"].tolist() == [i / 1000 for i in range(1000)]
    for k in (0, 123, 500, 999):
        pooled = [np.concatenate([a.ravel() for a in arrays]) for arrays in (masks, predictions)]
        expected = score_masks(pooled[0], pooled[1] >= k / 1000)["iou"]
        assert sweep["iou"][k] == pytest.approx(expected, abs=2e-3)


def test_probabilities_at_an_edge_count_as_above():
    values = np.array([0.7, 1.0, 0.0], np.float32)
    sweep = sweep_thresholds([values], [np.array([1, 1, 0])])
    assert sweep["iou"][700] == 1
    assert sweep["iou"][701] == 0.5
    assert sweep["iou"][0] == pytest.approx(2 / 3)


def test_the_threshold_is_the_middle_of_the_best():
    prediction, mask = np.array([0.2, 0.6, 0.6]), np.array([0, 1, 1])
    assert choose_threshold([prediction], [mask]) == (0.4, 1.0)
    threshold, iou = choose_threshold([np.array([0.9, 0.1, 0.5])], [np.array([1, 0, 0])])
    assert (0.5 < threshold <= 0.9) and iou == 1


def test_small_pieces_go_and_holes_are_filled():
    mask = np.zeros((7, 7), bool)
    mask[1:4, 1:4] = True
    mask[2, 2] = False
    mask[4, 4] = True  # a corner does not connect
    assert drop_small(mask, 2).sum() == 8
    assert drop_small(mask, 9).sum() == 0
    assert drop_small(mask, 2, fill_holes=True).sum() == 9
    assert drop_small(np.zeros((3, 3, 3), bool), 1).sum() == 0


def two_discs(shape=(40, 70), radius=12, centres=((20, 22), (20, 44))):
    y, x = np.indices(shape)
    return np.any([(y - a) ** 2 + (x - b) ** 2 < radius**2 for a, b in centres], axis=0)


def test_touching_discs_are_cut_at_their_waist():
    mask = two_discs()
    labels = split_touching(mask, min_distance=10)
    assert labels.max() == 2 and labels.dtype == np.int32
    assert ((labels > 0) == mask).all()
    assert (labels[:, :32] != labels[20, 44]).all() and (labels[:, 35:] != labels[20, 22]).all()
    assert split_touching(mask, min_distance=np.inf).max() == 1


def test_balls_in_thick_sections_are_cut_with_their_spacing():
    z, y, x = np.indices((9, 40, 70))
    mask = np.zeros(z.shape, bool)
    for c in (22, 44):
        mask |= (5.0 * (z - 4)) ** 2 + (y - 20) ** 2 + (x - c) ** 2 < 13**2
    assert split_touching(mask, min_distance=10, spacing=(5, 1, 1)).max() == 2


def test_every_piece_is_an_object_and_small_ones_are_dropped():
    rng = np.random.default_rng(0)
    mask = rng.random((60, 60)) > 0.7
    labels = split_touching(mask, min_distance=8)
    assert ((labels > 0) == mask).all()
    assert np.unique(labels).tolist() == list(range(labels.max() + 1))
    sizes = np.bincount(split_touching(mask, min_distance=8, min_size=5).ravel())[1:]
    assert sizes.min() >= 5
    assert split_touching(np.zeros((4, 4), bool)).max() == 0


def test_objects_are_measured_in_nanometres():
    labels = np.zeros((10, 20, 20), np.int32)
    labels[2:4, 5:15, 5:15] = 1
    labels[0, 0, 0] = 3
    table = measure_objects(labels, (0.05, 0.004, 0.004)).set_index("label")
    assert list(table.index) == [1, 3]
    assert table.loc[1, "n_pixels"] == 200
    assert table.loc[1, "volume_um3"] == pytest.approx(200 * 0.05 * 0.004**2)
    radius = table.loc[1, "diameter_nm"] / 2000
    assert 4 / 3 * np.pi * radius**3 == pytest.approx(table.loc[1, "volume_um3"])
    assert table.loc[1, "length_nm"] == pytest.approx(np.sqrt(100**2 + 40**2 + 40**2))
    assert table["cut"].tolist() == [False, True]


def test_objects_are_measured_in_pixels_without_a_pixel_size():
    table = measure_objects(np.pad(np.ones((3, 4), int), 1))
    assert table.columns.tolist() == [
        "label", "n_pixels", "area_px", "diameter_px", "length_px", "cut",
    ]  # fmt: skip
    assert table.loc[0, "length_px"] == 5
    assert np.pi * table.loc[0, "diameter_px"] ** 2 / 4 == pytest.approx(12)
    assert measure_objects(np.zeros((3, 3), int)).empty


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: median_filter_z(np.zeros((4, 4))), "volume ZYX"),
        (lambda: median_filter_z(np.zeros((4, 4, 4)), size=4), "odd size"),
        (lambda: median_filter_z(np.zeros((4, 4, 4)), axes="yx"), "'z' or 'zy'"),
        (lambda: sweep_thresholds([], []), "at least one"),
        (lambda: choose_threshold([np.zeros(3)], [np.ones(4)]), "mask of each"),
        (lambda: choose_threshold([np.zeros(3)], [np.zeros(3)]), "no mask has foreground"),
        (lambda: split_touching(np.zeros((3, 3)), spacing=(1, 1, 1)), "one positive size"),
    ],
)
def test_errors_say_what_to_mend(call, message):
    with pytest.raises(ValueError, match=message):
        call()
