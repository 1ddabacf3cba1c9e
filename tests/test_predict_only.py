"""A notebook that only predicts: nothing is trained, done work is skipped, and it ends quietly."""

from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from helpers.images import read_labels, write_image
from helpers.predict import methods as predictor_methods, notebook as module
from helpers.predict.notebook import predict_only, show_predictions
from helpers.predict.predictors import Predictor
from helpers.short_errors import NotebookEnd, shorten_errors, stop_here


def threshold_labels(model, image, settings):
    from scipy.ndimage import label

    return label(image > 100)[0].astype(np.int32)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose model needs no network, and a folder of images of it to come."""
    monkeypatch.setenv("MICROSEG_RUNS", str(tmp_path / "runs"))
    method = predictor_methods.Method("Threshold", None, threshold_labels, 100, by_plane=True)
    monkeypatch.setitem(predictor_methods.METHODS, "fake", method)
    network = SimpleNamespace(
        inputs=[SimpleNamespace(shape=(None, None, None, 1))], get_weights=lambda: [np.ones(3)]
    )
    predictor = Predictor("fake", network, {})
    monkeypatch.setattr(module, "load_predictor", lambda folder: predictor)
    folder = tmp_path / "runs" / "cells" / "my_run"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "predictor.json").write_text("{}")
    return folder


@pytest.fixture
def images(tmp_path):
    image = np.zeros((20, 30), np.uint8)
    image[2:6, 3:9], image[10:15, 20:25] = 200, 180
    for name in ("a", "b"):
        write_image(tmp_path / "new" / f"{name}.tif", image + np.eye(20, 30, dtype=np.uint8))
    return tmp_path / "new"


@pytest.fixture
def figures(monkeypatch):
    import matplotlib.pyplot as plt

    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    yield shown
    plt.close("all")


def test_a_folder_is_predicted_once_and_then_skipped(run, images, figures, capsys):
    with pytest.raises(NotebookEnd, match="Nothing was trained, because PREDICT_ONLY is True"):
        predict_only("cells", "my_run", images)
    out = images.with_name("new_my_run")
    assert read_labels(out / "a.tif").max() == 2
    assert "2 predicted, 0 skipped, 0 failed" in capsys.readouterr().out
    titles = [ax.get_title() for ax in figures[0].axes]
    assert titles == ["a.tif", "b.tif", "2 objects", "2 objects"]
    with pytest.raises(NotebookEnd, match="new_my_run"):
        predict_only("cells", "my_run", images)
    assert "0 predicted, 2 skipped, 0 failed" in capsys.readouterr().out
    assert len(figures) == 2  # those of earlier are shown again
    assert sorted(p.name for p in images.iterdir()) == ["a.tif", "b.tif"]


def test_what_is_missing_is_named(run, images, tmp_path):
    with pytest.raises(ValueError, match="PREDICT_FOLDER is empty: give the path"):
        predict_only("cells", "my_run", "")
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        predict_only("cells", "my_run", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"no run cells/other: .* are cells/my_run"):
        predict_only("cells", "other", images)


def test_of_images_that_fail_none_is_shown(run, tmp_path, figures, capsys):
    write_image(tmp_path / "flat" / "a.tif", np.zeros((20, 30), np.uint8))
    with pytest.raises(NotebookEnd):
        predict_only("cells", "my_run", tmp_path / "flat")
    assert "1 failed" in capsys.readouterr().out
    assert figures == []


def test_a_folder_is_also_looked_for_in_the_project(run, images, figures, monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    with pytest.raises(NotebookEnd):
        predict_only("cells", "my_run", "new")
    assert (tmp_path / "new_my_run" / "b.tif").is_file()


def test_many_images_give_few_lines(capsys):
    show = module._spare_lines(200)
    for number in range(1, 201):
        status = "failed" if number == 7 else "predicted"
        show(f"[{number:3d}/200] a.tif: {status}, 3 objects")
    show("note: thresholds were not tuned")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20 + 1 + 1
    assert any(": failed" in line for line in lines) and lines[-1].startswith("note")
    assert any(line.startswith("[200/200]") for line in lines)


def test_stacks_colours_and_denoised_images_are_shown(tmp_path):
    stack = np.zeros((3, 8, 8), np.float32)
    stack[1, 2:5, 2:5] = 7
    write_image(tmp_path / "in" / "s.tif", stack)
    write_image(tmp_path / "out" / "s.tif", stack / 2)
    axes = show_predictions([tmp_path / "in" / "s.tif"], tmp_path / "out", kind="image")
    assert axes[0, 0].images[0].get_array().max() == 7  # the middle plane
    assert [ax.get_title() for ax in axes[:, 0]] == ["s.tif", "denoised"]
    assert axes[1, 0].images[0].get_array().max() == 3.5
    axes[0, 0].figure.clear()


# The end of a notebook


def test_the_end_is_one_line_in_ipython(monkeypatch, capsys):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    shorten_errors()
    result = shell.run_cell("from helpers.short_errors import stop_here\nstop_here('the end')")
    assert isinstance(result.error_in_exec, NotebookEnd)  # so "Run All" stops
    assert capsys.readouterr().out.strip() == "the end"


def test_elsewhere_it_is_an_exception():
    with pytest.raises(NotebookEnd, match="the end"):
        stop_here("the end")


def test_papermill_ends_well_and_runs_no_further_cell(tmp_path):
    papermill = pytest.importorskip("papermill")
    from jupyter_client.kernelspec import NoSuchKernel

    end = (
        "from helpers.short_errors import *\nshorten_errors()\nif 1 > 0:\n    stop_here('the end')"
    )
    cells = [new_code_cell(source) for source in ("print(1)", end, "print(2)")]
    kernel = {"name": "microseg", "display_name": "microseg", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "a.ipynb")
    try:
        papermill.execute_notebook(tmp_path / "a.ipynb", tmp_path / "b.ipynb", progress_bar=False)
    except NoSuchKernel:
        pytest.skip("the kernel microseg is not installed")
    done = nbformat.read(tmp_path / "b.ipynb", as_version=4).cells
    assert [len(cell.outputs) for cell in done] == [1, 1, 0]
    assert done[1].outputs[0].traceback == ["the end"]
