import numpy as np
import pytest

from data_download import fingerprint
from helpers.evaluation.rescore import check_run, find_test_pairs, run_pairs, score_run, score_runs
from helpers.images import write_image, write_labels
from helpers.runs import open_run

TRUE = np.zeros((10, 12), np.int32)
TRUE[1:5, 1:5], TRUE[6:9, 6:11] = 1, 2  # 16 and 15 pixels
HALF = np.where(TRUE == 1, 7, 0)  # the second object is missed: AP 1/2
NAMES = ("a", "b")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MICROSEG_RUNS", raising=False)
    return tmp_path


def make_data(folder, names=NAMES, split="test", true=TRUE):
    for name in names:
        write_image(folder / split / "images" / f"{name}.tif", true.astype(np.float32))
        write_labels(folder / split / "masks" / f"{name}.tif", true)
    return folder


def make_run(data, predictions, method="m", *, save="save_labels", test_names=None, **summary):
    run = open_run(
        "cells", method, params={}, seed=1, data_folder=data, test_names=test_names
    )  # fmt: skip
    for name, pred in predictions.items():
        getattr(run, save)(name, pred)
    finish = {"scores": {}, "baseline": {}, "n_test": len(predictions)} | summary
    run.finish(seconds_train=1, seconds_predict=1, **finish)
    return run


def test_labels_are_scored_from_the_files(project):
    data = make_data(project / "data")
    result = score_run(make_run(data, {"a": TRUE, "b": HALF}))
    assert (result.kind, result.ranked_by, result.title) == ("labels", "ap_50", "cells/m")
    assert result.values().to_dict() == {"a": 1.0, "b": 0.5}
    assert result.scores.summary()["ap_50"] == 0.75
    assert result.values("seg").to_dict() == {"a": 1.0, "b": 0.5}


def test_masks_are_scored_as_pixels(project):
    data = make_data(project / "data")
    run = make_run(data, {"a": TRUE > 0, "b": HALF > 0}, save="save_mask")
    result = score_run(run)
    assert (result.kind, result.ranked_by) == ("mask", "iou")
    assert result.values().to_dict() == {"a": 1.0, "b": pytest.approx(16 / 31)}


def test_a_case_is_image_truth_and_prediction(project):
    data = make_data(project / "data")
    case = score_run(make_run(data, {"a": TRUE, "b": HALF})).read_case("b")
    assert case.image.dtype == np.float32
    assert (case.true == TRUE).all() and (case.pred == HALF).all()


def test_own_figures_are_checked_not_believed(project):
    data = make_data(project / "data")
    honest = make_run(data, {"a": TRUE, "b": HALF}, scores={"ap_50": 0.7504, "psnr": 30})
    assert check_run(score_run(honest)) == []
    boasting = make_run(data, {"a": TRUE, "b": HALF}, "boasting", scores={"ap_50": 0.9}, n_test=5)
    result = score_run(boasting)
    assert result.scores.summary()["ap_50"] == 0.75
    assert check_run(result) == [
        "summary.json states ap_50 0.900, its labels earn 0.750",
        "summary.json states 5 test images, 2 are scored",
    ]


def test_images_without_prediction_are_said_and_make_another_key(project, capsys):
    data = make_data(project / "data")
    part, whole = score_runs(
        [make_run(data, {"a": TRUE}, "part"), make_run(data, {"a": TRUE, "b": HALF}, "whole")]
    )
    assert "note on cells/part: 1 of 2 test images have no prediction" in capsys.readouterr().out
    assert part.key != whole.key
    assert part.key == whole.select(["a"]).key
    assert whole.select(["a"]).values().to_dict() == {"a": 1.0}


def test_key_depends_on_data_and_kind(project):
    data, other = make_data(project / "data"), make_data(project / "other", true=HALF)
    predictions = {"a": TRUE, "b": TRUE}
    keys = {
        score_run(make_run(data, predictions, "one")).key,
        score_run(make_run(other, predictions, "two")).key,
        score_run(make_run(data, predictions, "three", save="save_mask")).key,
    }
    assert len(keys) == 3
    assert score_run(make_run(data, predictions, "four")).key in keys


def test_changed_data_are_noted(project, capsys):
    data = make_data(project / "data")
    run = make_run(data, {"a": TRUE, "b": TRUE})
    write_labels(data / "test" / "masks" / "b.tif", HALF, overwrite=True)
    assert score_runs([run])[0].values()["b"] == 0.5
    assert "note on cells/m: its data folder was changed since" in capsys.readouterr().out
    assert score_run(run).fingerprint != fingerprint(data)


def test_test_images_of_every_layout(project):
    data = make_data(make_data(project / "data"), ["v"], "val")
    assert list(find_test_pairs(data)) == ["a", "b"]
    assert list(find_test_pairs(data, ["v", "b"])) == ["v", "b"]
    assert list(find_test_pairs(data / "test")) == ["a", "b"]
    assert list(find_test_pairs(data / "test", ["b"])) == ["b"]
    write_labels(data / "val" / "masks" / "a.tif", HALF)
    write_image(data / "val" / "images" / "a.tif", HALF.astype(np.float32))
    assert find_test_pairs(data, ["a"])["a"].image.parts[-3:] == ("test", "images", "a.tif")


def test_one_file_per_object_is_scored(project):
    for number in (1, 2):
        part = np.where(TRUE == number, 255, 0)
        write_labels(project / "data" / "cell" / "masks" / f"{number}.tif", part)
    write_image(project / "data" / "cell" / "images" / "x.tif", TRUE.astype(np.float32))
    result = score_run(make_run(project / "data", {"cell": HALF}))
    assert result.values().to_dict() == {"cell": 0.5}


def test_truth_errors_say_what_is_missing(project):
    data = make_data(project / "data")
    with pytest.raises(ValueError, match="data has no image with mask for the test images c: put"):
        find_test_pairs(data, ["a", "c"])
    (data / "test").rename(data / "train")
    with pytest.raises(ValueError, match="data has no test images with masks: put them into test/"):
        find_test_pairs(data)
    with pytest.raises(FileNotFoundError, match="none does not exist"):
        find_test_pairs(project / "none")
    with pytest.raises(ValueError, match="names no data folder.*give data_folder to open_run"):
        run_pairs(open_run("x", "y", params={}, seed=1))


def test_runs_that_cannot_be_scored_are_left_out_with_the_reason(project, capsys):
    data = make_data(project / "data")
    good = make_run(data, {"a": TRUE, "b": TRUE}, "good")
    bad = [
        make_run(data, {}, "nothing"),
        make_run(data, {"z": TRUE}, "names"),
        make_run(data, {"a": TRUE[:5]}, "shape"),
        make_run(None, {"a": TRUE}, "no_data"),
    ]
    assert [result.run for result in score_runs([*bad, good])] == [good]
    output = capsys.readouterr().out
    assert "left out cells/nothing: it has no images in labels or mask" in output
    assert "left out cells/names: no file in labels has the name of a test image (a, b)" in output
    assert "left out cells/shape: image a: " in output
    assert "left out cells/no_data: params.json names no data folder" in output
    with pytest.raises(ValueError, match="none of 4 runs can be scored"):
        score_runs(bad)
    assert score_runs([]) == []
