"""What the panel shows is right without widgets, and with them turning a knob draws anew."""

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from helpers.images import write_image, write_labels
from helpers.panel import browse_predictions, explore_thresholds, widgets as panel
from helpers.panel.parts import change_settings, draw_objects, find_knobs, list_predictions
from helpers.predict import methods as predictor_methods
from helpers.predict.predictors import Predictor
from helpers.runs import open_run


def threshold_labels(model, image, settings):
    from scipy.ndimage import label

    return label(image > 100 * settings["threshold"])[0].astype(np.int32)


@dataclass(frozen=True)
class Rule:
    seed: float = 0.67
    border_cap: float | None = None
    min_area: int = 5


@pytest.fixture
def predictor(monkeypatch):
    method = predictor_methods.Method("Threshold", None, threshold_labels, 100)
    monkeypatch.setitem(predictor_methods.METHODS, "fake", method)
    network = SimpleNamespace(inputs=[SimpleNamespace(shape=(None, None, None, 1))])
    return Predictor("fake", network, {"threshold": 0.5, "tta": True, "min_distance": np.inf})


@pytest.fixture
def run(predictor, tmp_path, monkeypatch):
    monkeypatch.setenv("MICROSEG_RUNS", str(tmp_path / "runs"))
    image = np.zeros((20, 30), np.uint8)
    image[2:6, 3:9], image[10:15, 20:25] = 80, 40
    for split in ("train", "val", "test"):
        write_image(tmp_path / "cells" / split / "images" / f"{split}.tif", image)
        labels = (image > 0).astype(np.int32)
        write_labels(tmp_path / "cells" / split / "masks" / f"{split}.tif", labels)
    run = open_run(
        tmp_path / "cells", "fake", params={}, seed=1, data_folder=tmp_path / "cells",
        test_names=["test"],
    )  # fmt: skip
    run.save_labels("test", (image > 50).astype(np.int32))
    monkeypatch.setattr(panel, "load_predictor", lambda folder: predictor)
    return run.folder


def test_only_thresholds_and_sizes_are_knobs(predictor):
    assert find_knobs(predictor) == {"threshold": (0.5, 1.0)}
    settings = {
        "thresholds": {"foreground": 0.4, "seed": 0.9, "min_size": 200},
        "rule": {"score": 0.5, "mask_threshold": 0.5, "min_area": 12},
        "normalizer": {"low": 1.0},
        "min_distance": 0.15,
        "tile": 256,
        "depth": 1,
    }
    assert find_knobs(Predictor("embedseg", None, settings)) == {
        "thresholds.foreground": (0.4, 1.0),
        "thresholds.seed": (0.9, 1.0),
        "thresholds.min_size": (200, 800.0),
        "rule.score": (0.5, 1.0),
        "rule.mask_threshold": (0.5, 1.0),
        "rule.min_area": (12, 48.0),
        "min_distance": (0.15, 0.6),
    }


def test_thresholds_beside_the_weights_are_found_too():
    star = SimpleNamespace(thresholds=SimpleNamespace(prob=0.6, nms=0.3))
    knobs = find_knobs(Predictor("stardist", star, {}))
    assert knobs == {"prob_thresh": (0.6, 1.0), "nms_thresh": (0.3, 1.0)}
    fpn = Predictor("fpn_watershed", SimpleNamespace(rule=Rule()), {"tta": False})
    assert find_knobs(fpn) == {"rule.seed": (0.67, 1.0), "rule.min_area": (5, 20.0)}
    changes = change_settings(fpn, {"rule.seed": 0.2, "rule.min_area": 7})
    assert changes == {"rule": {"seed": 0.2, "border_cap": None, "min_area": 7}}


def test_turned_knobs_keep_their_neighbours(predictor):
    embedseg = Predictor("embedseg", None, {"thresholds": {"seed": 0.9, "foreground": 0.4}})
    changes = change_settings(embedseg, {"thresholds.seed": 0.5})
    assert changes == {"thresholds": {"seed": 0.5, "foreground": 0.4}}
    assert embedseg.settings["thresholds"]["seed"] == 0.9
    assert change_settings(predictor, {"threshold": 0.3}) == {"threshold": 0.3}


def test_results_are_listed_with_their_images(run, tmp_path):
    (found,) = list_predictions(run).items()
    assert found[0] == "test"
    assert found[1][0] == tmp_path / "cells" / "test" / "images" / "test.tif"
    assert found[1][1] == run / "labels" / "test.tif"
    assert list_predictions(run / "labels")["test"][0] is None
    images = tmp_path / "cells" / "test" / "images"
    assert list_predictions(run / "labels", images)["test"][0] == images / "test.tif"
    with pytest.raises(FileNotFoundError, match="holds no label images"):
        list_predictions(tmp_path / "cells")


def test_the_picture_has_outlines_and_the_number():
    labels = np.zeros((3, 20, 30), np.int32)
    labels[1, 2:6, 3:9], labels[2, 10:15, 20:25] = 1, 7
    ax = Figure().subplots()
    draw_objects(ax, np.ones((3, 20, 30)), labels)
    assert ax.get_title() == "2 objects in the stack, plane 1"
    draw_objects(ax, np.ones((3, 20, 30)), labels, z=99)
    assert ax.get_title().endswith("plane 2")
    draw_objects(ax, np.ones((20, 30, 3)), labels[1])
    assert ax.get_title() == "1 object"
    draw_objects(ax, None, labels[0])
    assert ax.get_title() == "0 objects"
    draw_objects(ax, None, np.ones((20, 30), np.float32))
    assert ax.get_title() == "denoised"


def test_without_ipywidgets_the_message_says_what_to_do(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    for show in (explore_thresholds, browse_predictions):
        with pytest.raises(ImportError, match="pip install ipywidgets.*All else works without it"):
            show(run)


# With the widgets, where they are installed


@pytest.fixture
def drawn(monkeypatch):
    pytest.importorskip("ipywidgets")
    titles = []

    def show(draw):
        ax = Figure().subplots()
        draw(ax)
        titles.append(ax.get_title())

    monkeypatch.setattr(panel, "_show", show)
    return titles


def test_a_slider_predicts_anew(run, drawn):
    box = explore_thresholds(run)
    (slider,) = box.children[0].children
    assert (slider.description, slider.value, slider.max) == ("threshold", 0.5, 1.0)
    slider.value = 0.3
    assert drawn == ["1 object", "2 objects"]


def test_sizes_are_whole_and_the_picture_is_a_png(run, monkeypatch, predictor):
    widgets = pytest.importorskip("ipywidgets")
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    slider = panel._make_slider(widgets, "min_size", 147, 588.0)
    assert isinstance(slider, widgets.IntSlider) and (slider.max, slider.step) == (588, 1)
    explore_thresholds(run)
    assert shown[0].data.startswith(b"\x89PNG")


def test_a_model_without_thresholds_is_named(run, drawn, monkeypatch):
    denoiser = Predictor("n2v", None, {"tta": True})
    monkeypatch.setattr(panel, "load_predictor", lambda folder: denoiser)
    with pytest.raises(ValueError, match="Noise2Void has no thresholds"):
        explore_thresholds(run)


def test_the_list_shows_what_is_chosen(run, drawn):
    write_labels(run / "labels" / "stack.tif", np.ones((4, 9, 9), np.int32))
    box = browse_predictions(run)
    names, plane = box.children[0].children
    assert names.options == ("stack", "test") and drawn[-1] == "1 object in the stack, plane 2"
    plane.value = 3
    assert drawn[-1].endswith("plane 3")
    names.value = "test"
    assert drawn[-1] == "1 object" and plane.max == 0
