import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers.maskrcnn.detections import Detections
from helpers.viz.maskrcnn import show_boxes, show_detections, show_masks

IMAGE = np.random.default_rng(0).random((30, 40))


@pytest.fixture
def axes():
    figure, axes = plt.subplots(1, 3)
    yield axes
    plt.close(figure)


def make(n=2):
    boxes = np.float32([[2, 3, 10, 15], [12, 20, 25, 33]])[:n]
    masks = np.tile(np.hypot(*np.mgrid[-1:1:28j, -1:1:28j]) < 0.8, (n, 1, 1)).astype(np.float32)
    none = np.zeros(n, np.int32)
    return Detections(boxes, np.float32([0.91, 0.5])[:n], none, masks, none == 0, none)


def test_boxes_enclose_their_pixels(axes):
    boxes = np.concatenate([make().boxes, np.zeros((1, 4))])
    show_boxes(axes[0], IMAGE, boxes)
    drawn = [patch.get_bbox().extents for patch in axes[0].patches]
    # pixels 2 to 9 and 3 to 14, each drawn around its number; the empty box is not drawn
    np.testing.assert_allclose(drawn, [[2.5, 1.5, 14.5, 9.5], [19.5, 11.5, 32.5, 24.5]])


def test_scores_are_written(axes):
    show_detections(axes[0], IMAGE, make(), np.zeros((30, 40), np.int32))
    assert [text.get_text() for text in axes[0].texts] == ["0.91", "0.50"]
    assert len(axes[0].patches) == 2


def test_masks_fill_as_many_axes_as_there_are_objects(axes):
    assert show_masks(axes, IMAGE, make()) is axes
    assert [len(ax.images) for ax in axes] == [1, 1, 0]
    assert axes[0].get_xlim() == (1, 17) and axes[0].get_ylim() == (12, 0)
    show_masks(axes[2:], IMAGE, make(0))
