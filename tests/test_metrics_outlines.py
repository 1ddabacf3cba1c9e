import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import binary_dilation

from helpers.metrics.outlines import (
    boundary_f1,
    score_outlines,
    skeleton_recall,
    summarise_intervals,
)


def square(side=8, at=(6, 6), size=24):
    mask = np.zeros((size, size), int)
    mask[at[0] : at[0] + side, at[1] : at[1] + side] = 1
    return mask


def slow_boundary_f1(true, pred, tolerance):
    """Compare every outline pixel with every other one."""

    def outline(mask):
        padded = np.pad(mask != 0, 1, mode="edge")
        inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        return np.argwhere((mask != 0) & ~inner)

    a, b = outline(true), outline(pred)
    far = np.hypot(*(a[:, None] - b[None]).transpose(2, 0, 1))
    r, p = np.mean(far.min(1) <= tolerance), np.mean(far.min(0) <= tolerance)
    return 2 * p * r / (p + r)


def test_boundary_of_a_shifted_square():
    true = square()
    assert boundary_f1(true, true, tolerance=0) == 1
    assert boundary_f1(true, np.roll(true, 2, 1)) == 1
    # by 3 to the right at tolerance 2: of 28 outline pixels the 8 of the left side are 3 away,
    # the first pixels of the two long sides lie at distance 1 and 2 of the other's corner
    # or at 3 (the corner, counted with the left side)
    assert boundary_f1(true, np.roll(true, 3, 1)) == pytest.approx(
        slow_boundary_f1(true, np.roll(true, 3, 1), 2)
    )
    assert boundary_f1(true, np.roll(true, 12, 1)) == 0


def test_boundary_is_the_slow_one_on_noise():
    rng = np.random.default_rng(3)
    true, pred = (rng.random((2, 20, 24)) > 0.6).astype(int)
    for tolerance in (0, 1, 2.5):
        found = boundary_f1(true, pred, tolerance=tolerance)
        assert found == pytest.approx(slow_boundary_f1(true, pred, tolerance))
        assert found == pytest.approx(boundary_f1(pred, true, tolerance=tolerance))


def test_boundary_edge_cases():
    empty = np.zeros((9, 9), int)
    assert boundary_f1(empty, empty) == 1
    assert boundary_f1(empty, square(3, (2, 2), 9)) == 0
    # an all-foreground image has no outline: nothing ends at the frame
    assert boundary_f1(empty + 1, empty + 1) == 1


def test_skeleton_counts_processes_and_not_bodies():
    true = square(11, (3, 2), 30)
    true[8, 13:27] = 1  # a hair of 14 pixels, one pixel wide
    body = square(11, (3, 2), 30)
    assert skeleton_recall(true, true) == 1
    assert skeleton_recall(true, body, max_width=1) == pytest.approx(0, abs=0.11)
    assert skeleton_recall(true, body) < 0.6
    half = body.copy()
    half[8, 13:20] = 1
    assert 0.4 < skeleton_recall(true, half, max_width=1) < 0.6
    dice = score_outlines([true], [body])["dice"].item()
    assert dice > 0.93  # what Dice hardly sees


def test_width_of_lines():
    for width, limit, counted in (
        (1, 1, True),
        (3, 1, False),
        (3, 3, True),
        (5, 3, False),
        (7, 5, False),
    ):
        true = np.zeros((15, 60), int)
        true[7 - width // 2 : 8 + width // 2] = 1
        middle = true * (np.abs(np.arange(60) - 30) < 15)
        found = skeleton_recall(true, middle, max_width=limit)
        assert np.isfinite(found) == counted, (width, limit, found)


def test_nothing_to_find_is_nan():
    empty = np.zeros((9, 9), int)
    assert np.isnan(skeleton_recall(empty, empty))
    assert np.isnan(skeleton_recall(empty, square(3, (2, 2), 9)))


def test_table_and_intervals():
    true = [square(), square(5)]
    pred = [square(), binary_dilation(square(5)).astype(int)]
    table = score_outlines(true, pred, names=["a", "b"])
    assert table["name"].tolist() == ["a", "b"] and table["dice"][0] == 1
    assert table["dice"][1] == pytest.approx(2 * 25 / (25 + 45))
    summary = summarise_intervals(table)
    assert summary.loc["dice", "n"] == 2 and "name" not in summary.index
    low, mean, high = summary.loc["dice", ["low", "mean", "high"]]
    assert low <= mean <= high and low == pytest.approx(table["dice"].min())


def test_intervals_leave_nan_out():
    table = pd.DataFrame({"a": [1.0, np.nan, 0.5], "b": [np.nan] * 3, "c": [1.0, np.nan, np.nan]})
    summary = summarise_intervals(table)
    assert summary["n"].tolist() == [2, 0, 1]
    assert summary.loc["a", "mean"] == 0.75
    assert np.isnan(summary.loc["b", "mean"]) and np.isnan(summary.loc["c", "low"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: boundary_f1(square(), square()[1:]), "mask_pred"),
        (lambda: boundary_f1(square(), square() * 0.5), "threshold"),
        (lambda: boundary_f1(square(), square(), tolerance=-1), "tolerance"),
        (lambda: skeleton_recall(np.ones((3, 3, 3), int), np.ones((3, 3, 3), int)), "YX"),
        (lambda: score_outlines([], []), "at least one"),
        (lambda: score_outlines([square()], [square()], names=["a", "b"]), "2 names"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
