import numpy as np
import pandas as pd
import pytest
import tifffile
from test_rescore import HALF, TRUE, make_data, make_run, project  # noqa: F401

from helpers.datasets import load_dataset
from helpers.evaluation.adopt import add_baselines, adopt_labels, run_baseline
from helpers.evaluation.rescore import score_run, score_runs
from helpers.images import write_labels
from helpers.runs import find_runs, open_run


@pytest.fixture
def data(project):  # noqa: F811
    return make_data(make_data(project / "data"), ["v"], "val")


def export(folder, labels, suffix="_cp_masks"):
    for name, one in labels.items():
        write_labels(folder / f"{name}{suffix}.tif", one)
    return folder


def test_labels_of_another_tool_become_a_finished_run(data, project):  # noqa: F811
    folder = export(project / "export", {"a": TRUE, "b": HALF, "extra": TRUE})
    adopt_labels(folder, "cells", "cellpose", data_folder=data, suffix="_cp_masks", seed=5)
    (run,) = find_runs()
    assert (run.dataset, run.method) == ("cells", "cellpose")
    assert run.summary["n_test"] == 2 and run.summary["seed"] == 5
    assert run.summary["scores"]["ap_50"] == 0.75
    assert run.summary["baseline"] == {}
    assert run.params["parameters"] == {"adopted_from": "export", "suffix": "_cp_masks"}
    assert sorted(path.name for path in (run.folder / "labels").iterdir()) == ["a.tif", "b.tif"]
    assert pd.read_csv(run.folder / "metrics.csv")["ap_50"].tolist() == [1.0, 0.5]
    assert len(list(folder.iterdir())) == 3


def test_png_labels_and_chosen_test_images(data, project):  # noqa: F811
    from PIL import Image

    (project / "png").mkdir()
    Image.fromarray(HALF.astype(np.uint8)).save(project / "png" / "b.png")
    flat = data / "test"
    run = adopt_labels(project / "png", "cells", "fiji", data_folder=flat, test_names=["b"])
    assert score_run(run).values().to_dict() == {"b": 0.5}


def test_adopting_errors_leave_an_earlier_run_as_it_was(data, project):  # noqa: F811
    good = export(project / "good", {"a": TRUE, "b": TRUE})
    options = {"data_folder": data, "suffix": "_cp_masks"}
    adopt_labels(good, "cells", "cellpose", **options)
    with pytest.raises(ValueError, match="good has no label image a .2 of 2.*a_cp_masks, b_cp"):
        adopt_labels(good, "cells", "cellpose", data_folder=data)
    small = export(project / "small", {"a": TRUE, "b": TRUE[:5]})
    with pytest.raises(ValueError, match=r"b_cp_masks.tif has shape \(5, 12\), its truth \(10, 12"):
        adopt_labels(small, "cells", "cellpose", **options)
    with pytest.raises(FileNotFoundError, match="none is not a folder"):
        adopt_labels(project / "none", "cells", "cellpose", **options)
    (run,) = find_runs()
    assert run.summary["scores"]["ap_50"] == 1
    assert not (project / "runs" / "cells" / ".previous").exists()


def test_baseline_is_tuned_on_validation_and_scored_on_test(data):
    run = run_baseline("cells", data_folder=data, seed=4)
    assert run.method == "otsu_watershed" and run.summary["seed"] == 4
    assert run.summary["n_test"] == 2
    assert run.summary["baseline"] == {"method": "otsu_watershed", **run.summary["scores"]}
    assert set(run.params["parameters"]) >= {"sigma", "min_distance", "min_area"}
    assert sorted(path.name for path in (run.folder / "labels").iterdir()) == ["a.tif", "b.tif"]


def test_baseline_uses_the_voxel_size_where_axes_differ(data):
    manifest = data / "dataset.toml"
    manifest.write_text("pixel_size_um = [0.2, 0.1]\n")
    assert run_baseline("cells", data_folder=data).params["parameters"]["spacing"] == [0.2, 0.1]
    manifest.write_text("pixel_size_um = [0.1, 0.1]\n")
    assert run_baseline("cells", data_folder=data).params["parameters"]["spacing"] is None


def test_baseline_splits_a_flat_folder_as_the_notebooks_do(project):  # noqa: F811
    make_data(project / "all", [f"i{k}" for k in range(10)])
    flat = (project / "all" / "test").rename(project / "flat")
    run = run_baseline("cells", data_folder=flat, seed=7)
    split = load_dataset(flat, seed=7)
    assert run.params["data"]["test_names"] == split["test"].names
    assert run.summary["n_test"] == len(split["test"]) < 10


def test_baseline_never_tunes_on_test_images(data):
    with pytest.raises(ValueError, match="test.*2 images are too few|has no"):
        run_baseline("cells", data_folder=data / "test")


def test_baselines_are_added_once_and_only_where_they_compare(data, project, capsys):  # noqa: F811
    predictions = {"a": TRUE, "b": TRUE}
    whole = make_run(data, predictions, "whole")
    part = make_run(data, {"a": TRUE}, "part")
    masks = make_run(data, predictions, "masks", save="save_mask")
    results = score_runs([whole, part, masks])
    (added,) = add_baselines(results)
    assert score_run(added).key == results[0].key
    assert "cells: made the run otsu_watershed" in capsys.readouterr().out
    assert add_baselines(score_runs(find_runs())) == []


def test_baselines_of_two_splits_do_not_replace_each_other(project, capsys):  # noqa: F811
    make_data(project / "all", [f"i{k}" for k in range(10)])
    flat = (project / "all" / "test").rename(project / "flat")
    runs = []
    for seed in (7, 8):
        names = load_dataset(flat, seed=seed)["test"].names
        params = {"params": {}, "seed": seed, "data_folder": flat, "test_names": names}
        run = open_run("cells", f"net_{seed}", **params)
        for name in names:
            run.save_labels(name, TRUE)
        run.finish(scores={}, baseline={}, n_test=len(names), seconds_train=1, seconds_predict=1)
        runs.append(run)
    assert runs[0].params["data"]["test_names"] != runs[1].params["data"]["test_names"]
    assert len(add_baselines(score_runs(runs))) == 1
    assert "cells/otsu_watershed is the run of other test images" in capsys.readouterr().out
    assert add_baselines(score_runs(find_runs())) == []
    assert not (project / "runs" / "cells" / ".previous").exists()


def test_no_baseline_for_changed_or_unsuitable_data(data, project, capsys):  # noqa: F811
    predictions = {"a": TRUE, "b": TRUE}
    flat = score_runs([make_run(data / "test", predictions, "flat")])
    assert add_baselines(flat) == []
    assert "cells: no baseline: " in capsys.readouterr().out
    result = score_run(make_run(data, predictions, "old"))
    tifffile.imwrite(data / "test" / "images" / "a.tif", TRUE.astype(np.uint8))
    assert add_baselines([result]) == []
