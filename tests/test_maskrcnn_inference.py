"""Tiles, merging and caps, with a network that knows the truth: its image is the labels."""

import warnings

import numpy as np
import pytest

from helpers.maskrcnn.anchors import measure_boxes
from helpers.maskrcnn.detections import Detections
from helpers.maskrcnn.inference import (
    DetectionRule,
    detections_to_labels,
    find_objects,
    segment_image,
)
from helpers.maskrcnn.merging import merge_by_shared_pixels, merge_detections, tile_layers
from helpers.maskrcnn.roi_align import read_labels
from helpers.maskrcnn.settings import Settings
from helpers.metrics import score_dataset


class Oracle:
    """Finds what is in a window, cut as the window cuts it; with `error`, boxes too large."""

    def __init__(self, max_detections=60, error=0.0, missed=0):
        self.settings = Settings(max_detections=max_detections)
        self.error, self.missed, self.shapes = error, missed, []

    def predict_on_batch(self, batch):
        n, rows, size = len(batch), self.settings.max_detections, 28
        self.shapes.append(batch.shape)
        out = {"boxes": np.zeros((n, rows, 4), np.float32), "scores": np.zeros((n, rows))}
        out |= {"missed": np.full(n, self.missed)}
        out |= {"classes": np.zeros((n, rows), int), "masks": np.zeros((n, rows, size, size))}
        for i, image in enumerate(batch[..., 0].astype(np.int32)):
            boxes, ids = measure_boxes(image)
            boxes, ids = boxes[:rows], ids[:rows]
            k = len(ids)
            if k:
                masks = read_labels(image[None], ids[None].astype(np.int32), boxes[None], size)
                out["masks"][i, :k] = np.asarray(masks)[0]
            grow = np.float32([0, -self.error, 0, self.error])
            out["boxes"][i, :k], out["classes"][i, :k] = boxes + grow, 1
            out["scores"][i, :k] = np.linspace(0.9, 0.6, k)
        return out


def draw_field(shape=(150, 200), step=25, radius=11):
    """Discs in rows, each touching the next one of its row."""
    labels, k = np.zeros(shape, np.int32), 0
    y, x = np.indices(shape)
    for cy in range(14, shape[0] - radius, step + 4):
        for cx in range(14, shape[1] - radius, 2 * radius - 3):  # flattened where they touch
            k += 1
            labels[((y - cy) ** 2 + (x - cx) ** 2 < (radius + 0.8) ** 2) & (labels == 0)] = k
    return labels


FIELD = draw_field()


def f1(true, found, iou=0.8):
    return score_dataset([true], [found], thresholds=[iou]).mean[f"f1_{round(100 * iou)}"]


@pytest.mark.parametrize(("tile", "overlap"), [(64, 32), (96, 40), (256, 64)])
def test_any_tiling_finds_each_object_once(tile, overlap):
    found = segment_image(Oracle(), FIELD, tile=tile, overlap=overlap)
    assert found.max() == FIELD.max() and f1(FIELD, found) == 1


def test_windows_have_one_shape_and_small_images_are_filled_up():
    model = Oracle()
    assert segment_image(model, FIELD[:50, :70], batch_size=2).shape == (50, 70)
    segment_image(model, FIELD, tile=64, overlap=16, batch_size=4)
    assert model.shapes[0] == (2, 64, 80, 1) and set(model.shapes[1:]) == {(4, 64, 64, 1)}


def test_touching_nuclei_stay_apart_where_the_published_rule_fuses_them():
    model = Oracle(error=0.8)  # masks reach over the border by a pixel, as real ones do
    found = find_objects(model, FIELD, tile=64, overlap=32)
    published = merge_by_shared_pixels(tile_layers(found, FIELD.shape), 10)
    ours = detections_to_labels(found, FIELD.shape)
    assert ours.max() == FIELD.max() and f1(FIELD, ours) == 1
    fused = [
        np.unique(FIELD[published == k], return_counts=True) for k in range(1, 1 + published.max())
    ]
    fused = [ids[(ids > 0) & (n > 200)] for ids, n in fused]  # a nucleus has 400 pixels
    assert sum(len(ids) > 1 for ids in fused) >= 5
    assert f1(FIELD, published) < 0.7


def test_an_object_cut_by_a_tile_gives_way_to_the_whole_one():
    found = find_objects(Oracle(), FIELD, tile=64, overlap=32)
    assert not found.whole.all() and len(found) > FIELD.max()
    kept = merge_detections(found, FIELD.shape)
    assert kept.whole.all() and len(kept) == FIELD.max()


def test_an_object_larger_than_the_overlap_is_not_lost():
    labels = np.zeros((64, 160), np.int32)
    labels[10:50, 20:140] = 1
    assert segment_image(Oracle(), labels, tile=64, overlap=16).max() >= 1


def make(boxes, scores):
    n = len(boxes)
    masks = np.ones((n, 28, 28), np.float32)
    none = np.zeros(n, np.int32)
    return Detections(np.float32(boxes), np.array(scores), none + 1, masks, none == 0, none)


def test_the_better_of_two_stays_whatever_the_order():
    found = make([[0, 0, 10, 10], [0, 1, 10, 11], [30, 30, 40, 40]], [0.6, 0.9, 0.5])
    for order in ([0, 1, 2], [2, 1, 0]):
        kept = merge_detections(found.take(order), (50, 50))
        np.testing.assert_allclose(kept.scores, [0.9, 0.5])


def test_a_part_of_an_object_goes_though_its_iou_is_small():
    found = make([[0, 0, 20, 20], [2, 2, 8, 8]], [0.9, 0.8])
    assert len(merge_detections(found, (30, 30))) == 1
    assert len(merge_detections(found, (30, 30), contained=1.0)) == 2


def test_rule_drops_weak_and_small_objects():
    found = make([[0, 0, 20, 20], [30, 30, 33, 33], [25, 0, 35, 9]], [0.9, 0.8, 0.3])
    assert detections_to_labels(found, (40, 40), DetectionRule(min_area=0)).max() == 2
    assert detections_to_labels(found, (40, 40), DetectionRule(min_area=10)).max() == 1
    assert detections_to_labels(found, (40, 40), DetectionRule(score=0.2)).max() == 2


def test_a_cap_that_binds_warns():
    with pytest.warns(UserWarning, match=r"1 windows hold as many objects .*\(5\)"):
        find_objects(Oracle(max_detections=5), FIELD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_objects(Oracle(max_detections=int(FIELD.max()) + 1), FIELD)


def test_promising_anchors_beyond_the_candidates_warn():
    with pytest.warns(UserWarning, match=r"1 windows hold more promising anchors .*\(1000\)"):
        find_objects(Oracle(missed=7), FIELD)


@pytest.mark.parametrize(("tile", "overlap"), [(60, 8), (64, 64)])
def test_tiles_that_do_not_fit(tile, overlap):
    with pytest.raises(ValueError, match="multiple of 16"):
        find_objects(Oracle(), FIELD, tile=tile, overlap=overlap)


def test_empty_image():
    assert not segment_image(Oracle(), FIELD * 0, tile=64, overlap=16).any()
    layers = tile_layers(find_objects(Oracle(), FIELD * 0), FIELD.shape)
    assert not merge_by_shared_pixels(layers).any()


def test_published_rule_by_hand():
    layers = np.zeros((2, 6, 12), np.int32)
    layers[0, :, :5], layers[0, :, 5:8] = 1, 2  # two touching objects in one tile
    layers[1, :, 3:9] = 3  # the other tile's version of the second reaches into the first
    joined = merge_by_shared_pixels(layers, 10)
    assert joined.max() == 1  # 12 pixels shared with the first, 18 with the second
    assert merge_by_shared_pixels(layers, 13).max() == 2
