import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from helpers.evaluation.rescore import Case
from helpers.viz import ERROR_COLORS
from helpers.viz.runs import (
    name_errors,
    panel_axes,
    plot_differences,
    plot_found_by_size,
    plot_image_scores,
    show_case,
    show_extremes,
)

TRUE = np.zeros((8, 10), np.int32)
TRUE[1:5, 1:5] = 1
PRED = np.roll(TRUE, 1, axis=1)


@pytest.fixture
def ax():
    yield plt.subplots()[1]
    plt.close("all")


def painted(ax, name):
    """Pixels filled in the colour of one kind of error."""
    rgb = to_rgba(ERROR_COLORS[name])[:3]
    layers = [image.get_array() for image in ax.images]
    fills = [a for a in layers if a.ndim == 3 and (a[..., 3] > 0).any()]
    return sum(((np.asarray(a)[..., :3] == rgb).all(-1) & (a[..., 3] > 0)) for a in fills)


def test_errors_of_a_mask_are_pixels(ax):
    assert show_case(ax, Case(TRUE * 9.0, TRUE, PRED), kind="mask") is ax
    assert (painted(ax, "missed") == ((TRUE > 0) & (PRED == 0))).all()
    assert (painted(ax, "false") == ((PRED > 0) & (TRUE == 0))).all()


def test_errors_of_labels_are_objects(ax):
    show_case(ax, Case(TRUE * 9.0, TRUE, 0 * TRUE))
    assert (painted(ax, "missed") == (TRUE > 0)).all()


def test_middle_slice_of_a_volume_is_shown(ax):
    volume = np.stack([0 * TRUE, TRUE, 0 * TRUE])
    show_case(ax, Case(volume * 9.0, volume, 0 * volume))
    assert (painted(ax, "missed") == (TRUE > 0)).all()


@pytest.mark.parametrize("kind", ["labels", "mask"])
def test_window_shows_where_they_differ_and_judges_the_whole(ax, kind):
    true = np.zeros((40, 30), np.int32)
    true[2:6, 2:6], true[20:36, 22:28] = 1, 2
    pred = np.where(true == 1, 1, 0)
    show_case(ax, Case(true * 9.0, true, pred), kind=kind, window_px=10)
    assert painted(ax, "missed").sum() == 16 * 6
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert (right - left, bottom - top) == (10, 10)
    assert 2 not in true[: int(top)] and right > 22 and bottom <= 39.5


def test_window_goes_to_wrong_objects_before_rough_outlines(ax):
    true = np.zeros((40, 40), np.int32)
    true[2:18, 2:18], true[34:37, 34:37] = 1, 2
    pred = np.zeros_like(true)
    pred[4:16, 4:16] = 1  # matched, but 112 pixels of it are wrong
    show_case(ax, Case(true * 9.0, true, pred), window_px=10)
    assert ax.get_xlim()[0] > 20
    show_case(ax, Case(true * 9.0, np.where(true == 1, 1, 0), pred), window_px=10)
    assert ax.get_xlim()[0] < 18


def test_panels_are_as_many_as_asked():
    axes = panel_axes(4, n_columns=3)
    assert axes.shape == (4,) and len(axes[0].figure.axes) == 4
    assert panel_axes(1, width=3, height=2)[0].figure.get_size_inches().tolist() == [3, 2]
    name_errors(axes[0].figure)
    texts = [text.get_text() for text in axes[0].figure.legends[0].get_texts()]
    assert texts == list(ERROR_COLORS)
    plt.close("all")


class FakeScores:
    kind, ranked_by = "labels", "ap_50"

    def __init__(self, method, values):
        self.run = type("Run", (), {"method": method})
        self._values = pd.Series(values)

    def values(self):
        return self._values

    def read_case(self, name):
        return Case(TRUE * 9.0, TRUE, PRED if name == "x" else 0 * TRUE)


def test_extremes_are_the_own_best_and_worst_of_each_method():
    group = [FakeScores("a", {"x": 0.9, "y": 0.1}), FakeScores("b", {"x": 0.2, "y": 0.3})]
    grid = show_extremes(group)
    assert [[ax.get_title() for ax in row] for row in grid] == [
        ["a\nbest: x\nap_50 0.90", "b\nbest: y\nap_50 0.30"],
        ["a\nworst: y\nap_50 0.10", "b\nworst: x\nap_50 0.20"],
    ]
    plt.close("all")


def test_image_scores_keep_their_order_and_drop_many_names(ax):
    table = pd.DataFrame({"a": [0.1, 0.5], "b": [0.2, 0.4]}, index=["hard", "easy"])
    plot_image_scores(ax, table, score="ap_50")
    assert [line.get_ydata().tolist() for line in ax.lines] == [[0.1, 0.5], [0.2, 0.4]]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["hard", "easy"]
    many = pd.DataFrame({"a": np.linspace(0, 1, 50)})
    assert plot_image_scores(plt.subplots()[1], many).get_xticklabels() == []


@pytest.mark.parametrize(
    ("names", "ticks"),
    [
        (["im_test_01", "im_test_02"], ["01", "02"]),
        (["a1", "a2"], ["a1", "a2"]),
        (["x_a", "y_a"], ["x_a", "y_a"]),
        (["im_1", "im_1_b"], ["1", "1_b"]),
        (["im_test_01"], ["im_test_01"]),
    ],
)
def test_names_drop_their_common_start(ax, names, ticks):
    plot_image_scores(ax, pd.DataFrame({"m": 0.5}, index=names))
    assert [text.get_text() for text in ax.get_xticklabels()] == ticks


@pytest.mark.parametrize(("n", "angle"), [(1, 0), (4, 90)])
def test_names_are_turned_only_where_they_need_it(ax, n, angle):
    table = pd.DataFrame({"m": 0.5}, index=[f"{i}_a_long_name" for i in range(n)])
    plot_image_scores(ax, table)
    assert {text.get_rotation() for text in ax.get_xticklabels()} == {angle}


def test_found_by_size_has_a_line_a_method(ax):
    table = pd.DataFrame({"n": [3, 3], "a": [0.5, 1.0]}, index=["1 to 5", "6 to 9"])
    plot_found_by_size(ax, table)
    assert [line.get_ydata().tolist() for line in ax.lines] == [[0.5, 1.0]]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1 to\n5", "6 to\n9"]


def test_differences_show_images_interval_and_mean(ax):
    plot_differences(ax, {"a minus b": pd.Series([0.1, 0.3])}, {"a minus b": (0.1, 0.3)})
    dots, interval, mean = ax.lines[:3]
    assert sorted(dots.get_xdata()) == [0.1, 0.3]
    assert list(interval.get_xdata()) == [0.1, 0.3]
    assert mean.get_xdata()[0] == pytest.approx(0.2)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a minus b"]
