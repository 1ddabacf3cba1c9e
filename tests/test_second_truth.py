"""Runs scored by two truths, and the truths by each other."""

import numpy as np
import pytest

from helpers.evaluation.rescore import score_run
from helpers.evaluation.second_truth import correct_proposal, score_by_both
from helpers.images import write_image, write_labels
from helpers.runs import open_run

TRUE = np.zeros((10, 12), np.int32)
TRUE[1:5, 1:5], TRUE[6:9, 6:11] = 1, 2
ONE = np.where(TRUE == 1, 7, 0)  # of the second annotator, who saw the first object alone


@pytest.fixture
def data(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MICROSEG_RUNS", raising=False)
    for name in ("a", "b"):
        write_image(tmp_path / f"data/test/images/{name}.tif", TRUE.astype(np.float32))
        write_labels(tmp_path / f"data/test/masks/{name}.tif", TRUE)
    return tmp_path / "data"


def make_run(data, labels, method="net", kind="save_labels"):
    run = open_run("cells", method, params={}, seed=1, data_folder=data)
    for name in ("a", "b"):
        getattr(run, kind)(name, labels)
    run.finish(scores={}, baseline={}, n_test=2, seconds_train=1, seconds_predict=1)
    return score_run(run)


def test_both_truths_score_the_same_files(data):
    result = make_run(data, TRUE)
    for name in ("a", "b"):
        write_labels(data / f"test/masks_manual/{name}.tif", ONE)
    scores = score_by_both([result])
    assert list(scores) == ["truth", "net", "net (masks_manual)"]
    f1 = {name: one.summary()["f1_50"] for name, one in scores.items()}
    assert f1 == pytest.approx({"truth": 2 / 3, "net": 1, "net (masks_manual)": 2 / 3})
    assert scores["net"].summary() == result.scores.summary()


def test_without_a_whole_second_truth_there_is_nothing(data):
    result = make_run(data, ONE)
    assert score_by_both([result]) == {} == score_by_both([])
    write_labels(data / "test/masks_manual/a.tif", ONE)
    assert score_by_both([result]) == {}


def test_masks_are_refused(data):
    result = make_run(data, TRUE > 0, kind="save_mask")
    with pytest.raises(ValueError, match="cells/net: masks have no objects"):
        score_by_both([result])


def test_second_truth_may_lie_elsewhere(data, tmp_path):
    result = make_run(data, TRUE)
    for name in ("a", "b"):
        write_labels(tmp_path / f"other/semi/{name}.tif", ONE)
    scores = score_by_both([result], second=tmp_path / "other/semi")
    assert list(scores) == ["truth", "net", "net (semi)"]
    assert scores["truth"].summary()["f1_50"] == pytest.approx(2 / 3)


def test_proposals_are_kept_where_right_and_mended_where_wrong():
    proposal = np.zeros_like(TRUE)
    proposal[1:5, 1:4] = 8  # 12 of 16 pixels: left as proposed
    proposal[6:9, 6:8] = 9  # 6 of 15 pixels: drawn anew
    proposal[0, 8:12] = 3  # nothing there: erased
    expected = np.where((TRUE == 1) & (proposal != 8), 0, TRUE)
    np.testing.assert_array_equal(correct_proposal(TRUE, proposal), expected)
    np.testing.assert_array_equal(correct_proposal(TRUE, proposal, iou=0.8), TRUE)
    np.testing.assert_array_equal(correct_proposal(TRUE, np.zeros_like(TRUE)), TRUE)
    wide = np.where(TRUE == 2, 4, 0)
    wide[1:9, 5] = 6  # a false object beside both
    assert correct_proposal(TRUE, wide).max() == 2
