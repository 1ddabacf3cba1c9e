import json
import os
import random
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile

from helpers import runtime
from helpers.device import git_state
from helpers.runtime import (
    choose_preset,
    device_report,
    find_runs,
    open_run,
    package_versions,
    project_root,
    set_seed,
    start_notebook,
    timer,
)

PRESETS = {"sample": {"epochs": 20, "depth": 3}, "paper": {"epochs": 400, "depth": 3}}


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """An empty project, with the current folder in its notebooks."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.delenv("MICROSEG_RUNS", raising=False)
    monkeypatch.delenv("MICROSEG_PRESET", raising=False)
    return tmp_path


def finish(run, **changes):
    settings = {"scores": {"ap_50": 0.9}, "baseline": {"ap_50": 0.7}, "n_test": 3}
    return run.finish(**{**settings, "seconds_train": 61.234, "seconds_predict": 1, **changes})


def test_start_prints_one_block(capsys, monkeypatch):
    monkeypatch.setenv("MICROSEG_PRESET", "test")
    start_notebook(seed=5, packages=("numpy", "no-such-package"))
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert list(lines) == [
        "microseg-notebooks", "Python", "numpy", "no-such-package", "device", "seed", "preset",
    ]  # fmt: skip
    assert lines["numpy"] == np.__version__
    assert lines["no-such-package"] == "not installed"
    assert lines["device"].startswith("CPU, ")
    assert lines["preset"] == "test (from MICROSEG_PRESET)"


def test_seeds_repeat_all_random_numbers():
    keras = pytest.importorskip("keras")

    def draw():
        set_seed(3)
        return random.random(), np.random.rand(), float(keras.random.uniform(()))  # noqa: NPY002

    assert draw() == draw()
    with pytest.raises(ValueError, match="seed is -1: give a whole number"):
        set_seed(-1)


def test_device_without_gpu_names_cores(monkeypatch):
    monkeypatch.setattr("helpers.device._count_cores", lambda: 1)
    expected = {"device": "CPU, 1 core", "gpus": 0, "cores": 1, "backend": "none"}
    assert device_report(use_gpu=False) == expected


def test_device_names_gpus(monkeypatch):
    monkeypatch.setattr("helpers.device._list_gpus", lambda: ("jax", ["Card A", "Card B"]))
    report = device_report()
    assert (report["device"], report["gpus"], report["backend"]) == ("Card A, Card B", 2, "jax")


def test_tensorflow_gpus_share_their_memory(monkeypatch):
    tf = pytest.importorskip("tensorflow")
    from helpers.device import _tensorflow_gpus

    grown = []
    gpu = SimpleNamespace(name="/physical_device:GPU:0")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [gpu])
    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda gpu, on: grown.append(on)
    )
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda gpu: {"device_name": "Card A"}
    )
    assert _tensorflow_gpus() == ["Card A"]
    assert grown == [True]


def test_versions_find_the_cpu_build():
    assert set(package_versions(("numpy", "tensorflow", "none-such"))) == {"numpy", "tensorflow"}


def test_preset_is_chosen_by_name_or_environment(capsys, monkeypatch):
    assert choose_preset(PRESETS, "sample") == SimpleNamespace(epochs=20, depth=3)
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("MICROSEG_PRESET", "paper")
    assert choose_preset(PRESETS, "sample").epochs == 400
    assert "preset 'paper' instead of 'sample': MICROSEG_PRESET is set" in capsys.readouterr().out


def test_preset_errors_say_what_to_choose(monkeypatch):
    with pytest.raises(ValueError, match="PRESET is 'papr'.*choose one of 'sample', 'paper'"):
        choose_preset(PRESETS, "papr")
    with pytest.raises(ValueError, match="preset 'b' does not set depth"):
        choose_preset({"a": {"depth": 1}, "b": {}}, "a")
    monkeypatch.setenv("MICROSEG_PRESET", "nightly")
    with pytest.raises(ValueError, match="environment variable MICROSEG_PRESET is 'nightly'"):
        choose_preset(PRESETS, "sample")


def test_changes_of_a_preset_are_told_and_checked(capsys, monkeypatch):
    monkeypatch.delenv("MICROSEG_PRESET", raising=False)
    preset = choose_preset(PRESETS, "sample", changes={"depth": 5})
    assert preset == SimpleNamespace(epochs=20, depth=5)
    assert PRESETS["sample"]["depth"] == 3
    assert capsys.readouterr().out == "setting depth = 5 instead of 3\n"
    with pytest.raises(ValueError, match="changes name steps, which no preset sets: .* depth"):
        choose_preset(PRESETS, "sample", changes={"steps": 5})


def test_timer_measures_the_block(monkeypatch):
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(runtime.time, "perf_counter", lambda: next(clock))
    with timer() as block:
        assert block.seconds == 0
    assert block.seconds == 2.5


def test_root_is_the_project_above(project):
    assert project_root() == project


def test_run_has_the_promised_layout(project):
    run = open_run("nuclei", "stardist", params={"epochs": 2}, seed=7)
    assert run.folder == project / "runs" / "nuclei" / "stardist"
    labels = np.array([[0, 1], [2, 2]])
    run.save_labels("cell.1", labels, (0.5, 0.5))
    run.save_labels("many", labels * 40_000)
    run.save_mask("cell.1", labels > 0)
    run.save_prob("cell.1", labels / 2)
    run.save_metrics(pd.DataFrame({"name": ["cell.1"], "ap_50": [0.5]}))
    run.save_history({"epoch": [1, 2], "loss": [0.5, 0.4]})
    finish(run)
    files = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*.*")}
    assert files == {
        "params.json", "labels/cell.1.tif", "labels/many.tif", "mask/cell.1.tif",
        "prob/cell.1.tif", "metrics.csv", "history.csv", "summary.json", "report.html",
    }  # fmt: skip
    written = tifffile.imread(run.folder / "labels" / "cell.1.tif")
    assert written.dtype == np.uint16 and written.tolist() == labels.tolist()
    assert tifffile.imread(run.folder / "labels" / "many.tif").dtype == np.uint32
    assert tifffile.imread(run.folder / "prob" / "cell.1.tif").tolist() == [[0, 0.5], [1, 1]]
    assert pd.read_csv(run.folder / "history.csv")["loss"].tolist() == [0.5, 0.4]


def test_params_hold_all_a_run_depends_on(project):
    data = project / "data" / "mine"
    (data / "test" / "images").mkdir(parents=True)
    (data / "test" / "images" / "a.tif").write_bytes(b"1")
    params = {"epochs": np.int64(2), "rays": np.array([1, 2]), "path": data}
    run = open_run(data, "stardist", params=params, seed=7, data_folder=data, test_names=("a",))
    assert (run.dataset, run.method) == ("mine", "stardist")
    stored = json.loads((run.folder / "params.json").read_text())
    assert stored["parameters"] == {"epochs": 2, "rays": [1, 2], "path": str(data)}
    assert stored["seed"] == 7
    assert stored["data"]["folder"] == "data/mine"
    assert len(stored["data"]["fingerprint"]) == 64
    assert stored["data"]["test_names"] == ["a"]
    assert stored["versions"]["numpy"] == np.__version__
    assert stored["device"]["cores"] >= 1
    assert stored["git"] == git_state()
    assert run.data_folder == data
    with pytest.raises(FileNotFoundError, match="data_folder .*none does not exist"):
        open_run("x", "y", params={}, seed=1, data_folder=project / "none")


def test_data_outside_the_project_keep_their_full_path(project, tmp_path_factory):
    data = tmp_path_factory.mktemp("elsewhere")
    run = open_run(data, "m", params={}, seed=1, data_folder=data)
    assert run.data_folder == data


def test_summary_follows_the_contract(project):
    run = open_run("nuclei", "stardist", params={}, seed=7)
    finish(run, scores={"ap_50": np.float32(0.5), "seg": float("nan")},
           baseline={"method": "Otsu", "ap_50": 0.25})  # fmt: skip
    assert run.summary == {
        "method": "stardist",
        "dataset": "nuclei",
        "n_test": 3,
        "seed": 7,
        "seconds_train": 61.23,
        "seconds_predict": 1.0,
        "scores": {"ap_50": 0.5, "seg": None},
        "baseline": {"method": "Otsu", "ap_50": 0.25},
    }
    with pytest.raises(ValueError, match="scores has ap50: use the names ap_50"):
        finish(run, scores={"ap50": 1})


def test_finished_run_is_moved_aside_not_lost(project, capsys):
    for number in (1, 2, 3):
        run = open_run("nuclei", "stardist", params={}, seed=7)
        assert not (run.folder / "summary.json").exists()
        finish(run, n_test=number)
    previous = project / "runs" / "nuclei" / ".previous"
    kept = [json.loads((previous / f"stardist-{i}" / "summary.json").read_text()) for i in (1, 2)]
    assert [summary["n_test"] for summary in kept] == [1, 2]
    assert "moved to runs/nuclei/.previous/stardist-2" in capsys.readouterr().out
    assert [run.method for run in find_runs()] == ["stardist"]


def test_unfinished_run_continues_only_with_equal_settings(project):
    run = open_run("nuclei", "stardist", params={"epochs": 2, "size": (3, 4)}, seed=7)
    (run.folder / "model").mkdir()
    open_run("nuclei", "stardist", params={"epochs": 2, "size": (3, 4)}, seed=7)
    assert run.model_folder.exists()
    open_run("nuclei", "stardist", params={"epochs": 2, "size": (3, 4)}, seed=8)
    assert not run.model_folder.exists()
    assert (project / "runs/nuclei/.previous/stardist-1/model").exists()


def test_names_stay_inside_the_run(project):
    run = open_run("my nuclei (1)", "a/b/../stardist", params={}, seed=1)
    assert run.folder == project / "runs" / "my_nuclei_1" / "stardist"
    with pytest.raises(ValueError, match="give the file name alone"):
        run.save_labels("../a", np.zeros((2, 2), int))
    with pytest.raises(ValueError, match="'..' cannot name a folder"):
        open_run("..", "m", params={}, seed=1)


def test_environment_moves_the_runs(project, monkeypatch, tmp_path):
    monkeypatch.setenv("MICROSEG_RUNS", str(tmp_path / "other"))
    run = open_run("nuclei", "n2v", params={}, seed=1)
    assert run.folder == tmp_path / "other" / "nuclei" / "n2v"
    finish(run)
    assert [found.folder for found in find_runs()] == [run.folder]


def test_incomplete_runs_are_left_out_with_the_reason(project, capsys):
    assert find_runs() == []
    finish(open_run("b", "good", params={}, seed=1))
    finish(open_run("a", "good", params={}, seed=1))
    open_run("b", "half", params={}, seed=1)
    broken = open_run("b", "broken", params={}, seed=1)
    (broken.folder / "summary.json").write_text("{")
    other = open_run("b", "other", params={}, seed=1)
    (other.folder / "summary.json").write_text('{"scores": {}, "baseline": {}, "n_test": 1}')
    assert [(run.dataset, run.method) for run in find_runs()] == [("a", "good"), ("b", "good")]
    output = capsys.readouterr().out
    assert "left out b/half: it has no summary.json" in output
    assert "left out b/broken: summary.json cannot be read" in output
    assert "b/other: summary.json has no seed, seconds_train, seconds_predict" in output
    assert len(find_runs(project / "runs")) == 2


def test_no_git_gives_no_state(monkeypatch):
    monkeypatch.setattr(os, "environ", {**os.environ, "PATH": ""})
    assert git_state() is None
