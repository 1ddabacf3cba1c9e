"""The pictures show what they are given."""

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.colors import to_rgba  # noqa: E402

from helpers.em.mask_volume import sweep_thresholds  # noqa: E402
from helpers.viz.em import (  # noqa: E402
    MASK_COLORS,
    plot_slice_scores,
    plot_thresholds,
    show_difference,
    show_mask_errors,
    show_patches,
)


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_missed_and_false_pixels_have_their_colours(ax):
    true, pred = np.array([[1, 1, 0, 0]] * 2), np.array([[0, 1, 1, 0]] * 2)
    assert show_mask_errors(ax, np.zeros((2, 4)), true, pred) is ax
    paint = np.asarray(ax.images[1].get_array())
    assert paint[0, 0] == pytest.approx(to_rgba(MASK_COLORS["missed"], 0.6))
    assert paint[0, 2] == pytest.approx(to_rgba(MASK_COLORS["false"], 0.6))
    assert (paint[:, [1, 3], 3] == 0).all()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["missed", "false"]


def test_masks_of_other_shapes_are_refused(ax):
    with pytest.raises(ValueError, match="one slice of each"):
        show_mask_errors(ax, np.zeros((2, 4)), np.zeros((2, 4)), np.zeros((2, 5)))


def test_difference_is_symmetric(ax):
    show_difference(ax, np.full((3, 3), 0.6), np.full((3, 3), 0.5), limit=0.2)
    assert np.asarray(ax.images[0].get_array()) == pytest.approx(np.full((3, 3), 0.1))
    assert ax.images[0].get_clim() == (-0.2, 0.2)


def test_frames_lie_round_their_patches(ax):
    show_patches(ax, np.zeros((20, 30)), [(slice(2, 6), slice(10, 18))])
    (frame,) = ax.patches
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((9.5, 1.5), 8, 4)


def test_curves_have_one_line_each(ax):
    plot_slice_scores(ax, {"a": [0.5, np.nan, 0.7], "b": [0.1, 0.2, 0.3]})
    assert [line.get_label() for line in ax.lines] == ["a", "b"]
    assert ax.lines[0].get_ydata()[2] == 0.7


def test_the_best_threshold_is_marked(ax):
    sweep = sweep_thresholds([np.array([0.2, 0.6])], [np.array([0, 1])])
    plot_thresholds(ax, {"network": sweep})
    (x,), (y,) = ax.lines[1].get_data()
    assert 0.2 < x <= 0.6 and y == 1
