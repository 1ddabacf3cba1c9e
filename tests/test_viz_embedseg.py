import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from helpers.embedseg import EmbeddingSpace
from helpers.viz import PALETTE
from helpers.viz.embedseg import show_embeddings, show_radii

SPACE = EmbeddingSpace((2.0, 2.0), reach=100, radius=6)  # pixels of 2 µm, a radius of 3 pixels
LABELS = np.zeros((12, 20), int)
LABELS[2:5, 3:8], LABELS[7:10, 10:16] = 1, 2
IMAGE = np.zeros((12, 20))


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def make_raw():
    """Pixels of 1 point to y=3, x=5, those of 2 to y=8, x=12; the seeds there are the surest."""
    raw = np.ones((*LABELS.shape, 5))
    place = SPACE.positions(LABELS.shape)
    for label, pixel in ((1, (3, 5)), (2, (8, 12))):
        way = 2.0 * np.array(pixel) - place
        raw[..., :2][LABELS == label] = np.arctanh(way / SPACE.reach)[LABELS == label]
    raw[..., 4] = 0
    raw[3, 4, 4] = raw[9, 15, 4] = 3
    raw[..., 0, 4] = 9  # background may not count
    return raw


def test_dots_lie_where_the_pixels_of_an_object_point_to(ax):
    assert show_embeddings(ax, IMAGE, make_raw(), LABELS, SPACE, max_points=4) is ax
    first, second = ax.lines
    assert len(first.get_xdata()) == 4
    np.testing.assert_allclose([first.get_xdata(), first.get_ydata()], [[5] * 4, [3] * 4])
    np.testing.assert_allclose([second.get_xdata(), second.get_ydata()], [[12] * 4, [8] * 4])
    assert to_rgba(first.get_color()) == to_rgba(PALETTE[1])
    assert ax.get_xlim() == (-0.5, 19.5) and ax.get_ylim() == (11.5, -0.5)


def test_lines_lead_from_pixels_of_the_object(ax):
    show_embeddings(ax, IMAGE, make_raw(), LABELS, SPACE, max_points=100)
    starts = np.array([path.vertices[0] for path in ax.collections[0].get_paths()], int)
    assert {(y, x) for x, y in starts} == {tuple(p) for p in np.argwhere(LABELS == 1)}
    ax.clear()
    show_embeddings(ax, IMAGE, make_raw(), LABELS, SPACE, lines=False)
    assert not ax.collections


def test_ellipses_have_centre_and_radii_of_the_surest_pixel(ax):
    raw = make_raw()
    raw[3, 4, 2] = 1 - np.log(2) / 5  # twice the radius along y
    show_radii(ax, IMAGE, raw, LABELS, SPACE)
    first, second = ax.patches
    np.testing.assert_allclose(first.center, (5, 3))
    assert (first.height, first.width) == pytest.approx((12, 6))
    assert (second.height, second.width) == pytest.approx((6, 6))
    assert [dot.get_xdata()[0] for dot in ax.lines] == [4, 15]


@pytest.mark.parametrize("show", [show_embeddings, show_radii])
def test_arrays_that_do_not_fit_are_refused(ax, show):
    with pytest.raises(ValueError, match="give one YX plane of each"):
        show(ax, IMAGE[1:], make_raw(), LABELS, SPACE)
    with pytest.raises(ValueError, match="a space of 3 axes"):
        show(ax, IMAGE, make_raw(), LABELS, EmbeddingSpace((1, 1, 1)))


@pytest.mark.parametrize("show", [show_embeddings, show_radii])
def test_an_image_without_objects_is_shown(ax, show):
    show(ax, IMAGE, make_raw(), np.zeros_like(LABELS), SPACE)
    assert len(ax.images) == 1 and not ax.lines
