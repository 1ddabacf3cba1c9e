from types import SimpleNamespace

import numpy as np
import pytest

from helpers.evaluation.leaderboard import found_by_size, leaderboard, per_image_table
from helpers.evaluation.rescore import Case, RunScores
from helpers.metrics import score_dataset, score_mask_dataset

TRUE = np.repeat(np.arange(11), 4).reshape(1, -1)  # ten objects of four pixels


def scored(method, found, *, dataset="cells", kind="labels", baseline=None):
    pred = [np.where(n >= TRUE, TRUE, 0) for n in found]
    score = score_dataset if kind == "labels" else score_mask_dataset
    names = [f"i{k}" for k in range(len(found))]
    summary = {"seed": 3, "seconds_train": 60.0, "seconds_predict": 2.0, "baseline": baseline or {}}
    params = {"data": {"fingerprint": "d"}}
    run = SimpleNamespace(dataset=dataset, method=method, params=params, summary=summary)
    return RunScores(run, kind, score([TRUE] * len(found), pred, names=names))


def test_rows_are_ranked_within_their_group():
    table = leaderboard([scored("b", [5, 7]), scored("a", [9, 9]), scored("z", [1], dataset="x")])
    assert table[["group", "method"]].to_numpy().tolist() == [
        ["cells", "a"],
        ["cells", "b"],
        ["x", "z"],
    ]
    row = table.iloc[1]
    assert (row.n_test, row.seed, row.source, row.ranked_by) == (2, 3, "rescored", "ap_50")
    assert row.ap_50 == pytest.approx(0.6) and row.seg == pytest.approx(0.6)
    assert row.low == pytest.approx(0.5) and row.high == pytest.approx(0.7)
    assert (row.seconds_train, row.seconds_predict) == (60, 2)
    assert np.isnan(table.iloc[2].low)


def test_scores_nobody_has_are_no_columns():
    objects, masks = scored("a", [9]), scored("b", [5], kind="mask")
    assert "iou" not in leaderboard([objects]) and "psnr" not in leaderboard([objects])
    assert "ap_50" not in leaderboard([masks])
    both = leaderboard([objects, masks]).set_index("method")
    assert both.loc["b", "iou"] == pytest.approx(0.5)
    assert both.loc["b", "ranked_by"] == "iou"
    assert np.isnan(both.loc["a", "iou"])
    assert both["group"].tolist() == ["cells", "cells (2)"]


def test_stated_baseline_has_a_row_until_it_is_rescored():
    own = scored("net", [9], baseline={"method": "Otsu + watershed", "ap_50": 0.4})
    table = leaderboard([own]).set_index("method")
    assert table.index.tolist() == ["net", "otsu_watershed"]
    stated = table.loc["otsu_watershed"]
    assert (stated.baseline, stated.source, stated.ap_50) == (True, "stated", 0.4)
    assert not table.loc["net", "baseline"]
    rescored = leaderboard([own, scored("otsu_watershed", [5])]).set_index("method")
    assert rescored["baseline"].to_dict() == {"net": False, "otsu_watershed": True}
    assert rescored["source"].tolist() == ["rescored", "rescored"]


def test_stated_baseline_without_name_or_score():
    assert leaderboard([scored("a", [9], baseline={"ap_50": 0.4})])["method"][1] == "baseline"
    assert len(leaderboard([scored("a", [9], baseline={"method": "x", "ap_50": None})])) == 1
    assert len(leaderboard([scored("a", [9], baseline={"psnr": 20})])) == 1


def test_stated_baseline_can_lead():
    own = scored("net", [3], baseline={"method": "otsu", "ap_50": 0.4})
    assert leaderboard([own])["method"].tolist() == ["otsu", "net"]


def test_per_image_table_has_every_image_of_every_run():
    table = per_image_table([scored("b", [5, 7]), scored("a", [9, 9])])
    assert table.columns[:6].tolist() == ["group", "dataset", "method", "name", "n_true", "n_pred"]
    assert table["method"].tolist() == ["a", "a", "b", "b"]
    assert table["ap_50"].tolist() == [0.9, 0.9, 0.5, 0.7]


def test_objects_found_by_size():
    true = np.zeros((4, 40), np.int32)
    for label, (left, width) in enumerate(((0, 1), (5, 2), (10, 3), (15, 4)), start=1):
        true[:, left : left + width] = label  # 4, 8, 12 and 16 pixels
    half = np.where(true > 2, true, 0)
    cases = {"all": Case(true, true, true), "half": Case(true, true, half)}
    scores = SimpleNamespace(names=("i",))
    group = [
        SimpleNamespace(
            run=SimpleNamespace(method=m), kind="labels", scores=scores, read_case=lambda _, c=c: c
        )
        for m, c in cases.items()
    ]
    table = found_by_size(group, n_classes=2)
    assert table.index.tolist() == ["4 to 8", "12 to 16"]
    assert table.to_dict("list") == {"n": [2, 2], "all": [1, 1], "half": [0, 1]}
    with pytest.raises(ValueError, match="masks have no objects"):
        found_by_size([SimpleNamespace(kind="mask")])
