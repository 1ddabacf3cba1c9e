import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from helpers.viz.targets import (
    CLASS_COLORS,
    color_offsets,
    show_classes,
    show_offsets,
    show_rays,
)


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_each_class_has_its_colour(ax):
    assert show_classes(ax, np.array([[0, 1, 2]]), legend=True) is ax
    colors = [to_rgb(color) for color in CLASS_COLORS.values()]
    np.testing.assert_allclose(ax.images[0].get_array()[0], colors)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["foreground", "border"]


@pytest.mark.parametrize("classes", [np.array([[0, 3]]), np.zeros((2, 2, 2), int)])
def test_what_is_no_class_plane_is_refused(ax, classes):
    with pytest.raises(ValueError, match="classes has shape .* one YX plane of 0, 1 and 2"):
        show_classes(ax, classes)


def test_rays_start_at_the_centre_and_turn_downwards(ax):
    distances = np.zeros((9, 9, 4))
    distances[4, 3] = [1, 2, 3, 4]  # to the right, down, left, up
    show_rays(ax, np.zeros((9, 9)), distances, np.array([[4, 3]]))
    rays, outline = ax.collections
    ends = [[4, 4], [3, 6], [0, 4], [3, 0]]  # x, y
    np.testing.assert_allclose([path.vertices[0] for path in rays.get_paths()], [[3, 4]] * 4)
    np.testing.assert_allclose([path.vertices[1] for path in rays.get_paths()], ends)
    np.testing.assert_allclose(outline.get_paths()[0].vertices[:4], ends)


def test_drawn_rays_end_on_the_border_that_stardist_finds(ax):
    star_dist = pytest.importorskip("stardist.geometry").star_dist
    labels = np.zeros((21, 21), np.uint16)
    labels[5:10, 6:18] = 1
    show_rays(ax, labels, star_dist(labels, 8), np.array([[7, 8]]))
    x, y = ax.collections[1].get_paths()[0].vertices.T
    # the nearer sides are 2.5 px up and down from the centre pixel, and 2.5 and 9.5 beside it
    assert y.min() == pytest.approx(4.5, abs=0.6) and y.max() == pytest.approx(9.5, abs=0.6)
    assert x.min() == pytest.approx(5.5, abs=0.6) and x.max() == pytest.approx(17.5, abs=0.6)


def test_rays_of_another_size_are_refused(ax):
    with pytest.raises(ValueError, match="one value per pixel and ray"):
        show_rays(ax, np.zeros((4, 4)), np.zeros((2, 2, 8)), np.array([[0, 0]]))


def test_opposite_offsets_have_opposite_hues_and_none_is_black():
    offsets = np.array([[[0, 0, 0, 0]], [[0, 10, -10, 1]]], float)
    black, right, left, short = color_offsets(offsets)[0]
    assert black.max() < 0.01
    assert right[0] - right[2] > 0.2 > -0.2 > left[0] - left[2]  # reddish against greenish-blue
    assert np.ptp(short) < np.ptp(right) / 2  # short: nearly white
    assert color_offsets(np.zeros((2, 3, 3))).max() < 0.01


def test_offsets_are_drawn_with_their_centres(ax):
    show_offsets(ax, np.ones((2, 5, 6)), np.array([[1, 2], [3, 4]]))
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[2, 1], [4, 3]])
    assert ax.images[0].get_array().shape == (5, 6, 3)


def test_no_centres_draw_no_dots(ax):
    show_offsets(ax, np.zeros((2, 5, 6)), np.zeros((0, 2), int))
    assert not ax.lines


def test_offsets_without_two_components_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 4, 4\): give the two offsets"):
        color_offsets(np.zeros((3, 4, 4)))
