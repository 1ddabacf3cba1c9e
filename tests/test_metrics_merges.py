"""Errors in percent of the true objects, against counts by hand."""

import numpy as np
import pytest

from helpers.metrics import score_dataset
from helpers.metrics.merges import ERROR_KINDS, error_percent


def draw(*rectangles):
    labels = np.zeros((12, 40), np.int32)
    for number, (left, width) in enumerate(rectangles, start=1):
        labels[1:11, left : left + width] = number
    return labels


CASES = {  # truth, prediction, then missed, false, merged, split in objects
    "perfect": (draw((2, 10), (20, 10)), draw((2, 10), (20, 10)), (0, 0, 0, 0)),
    "missed": (draw((2, 10), (20, 10)), draw((2, 10)), (1, 0, 0, 0)),
    "false": (draw((2, 10)), draw((2, 10), (20, 10)), (0, 1, 0, 0)),
    "merged": (draw((2, 10), (12, 10)), draw((2, 20)), (2, 1, 1, 0)),
    "split": (draw((2, 20)), draw((2, 10), (12, 10)), (1, 2, 0, 1)),
    "shifted": (draw((2, 10)), draw((4, 10)), (1, 1, 0, 0)),  # IoU 8 / 12
}


@pytest.mark.parametrize("name", CASES)
def test_each_error_by_itself(name):
    true, pred, counts = CASES[name]
    row = error_percent({name: score_dataset([true], [pred])}).loc[name]
    n_true = true.max()
    assert row["n_true"] == n_true
    assert row[list(ERROR_KINDS)].tolist() == [100 * count / n_true for count in counts]


def test_images_are_pooled_by_objects():
    true, pred, counts = zip(*CASES.values(), strict=True)
    table = error_percent({"all": score_dataset(true, pred), "truth": score_dataset(true, true)})
    n_true = sum(labels.max() for labels in true)
    assert table.index.tolist() == ["all", "truth"]
    expected = 100 * np.sum(counts, axis=0) / n_true
    np.testing.assert_allclose(table.loc["all", list(ERROR_KINDS)].astype(float), expected)
    assert not table.loc["truth", list(ERROR_KINDS)].any()


def test_iou_changes_missed_and_false_alone():
    true, pred, _ = CASES["shifted"]
    scores = {"one": score_dataset([true], [pred])}
    assert error_percent(scores, iou=0.65).loc["one", ["missed", "false"]].tolist() == [0, 0]
    assert error_percent(scores, iou=0.7).loc["one", ["missed", "false"]].tolist() == [100, 100]
    with pytest.raises(ValueError, match=r"one was scored at IoU .*, not 0\.42"):
        error_percent(scores, iou=0.42)


def test_without_true_objects_there_is_no_percentage():
    row = error_percent({"empty": score_dataset([draw()], [draw((2, 10))])}).loc["empty"]
    assert row["n_true"] == 0 and row[list(ERROR_KINDS)].isna().all()
