import math

import numpy as np
import pytest
from keras import ops

from helpers.maskrcnn.roi_align import choose_levels, read_labels, roi_align


def read_between(image, y, x):
    """Bilinear value at a place given in pixels with centres at whole numbers: a naive loop."""
    y, x = min(max(y, 0), len(image) - 1), min(max(x, 0), image.shape[1] - 1)
    y0, x0 = math.floor(y), math.floor(x)
    value = 0
    for i in (y0, y0 + 1):
        for j in (x0, x0 + 1):
            weight = (1 - abs(y - i)) * (1 - abs(x - j))
            if weight > 0:
                value = value + weight * image[i, j]
    return value


def align_naively(image, box, stride, size, samples):
    y1, x1, y2, x2 = box
    out = np.zeros((size, size, image.shape[-1]))
    for i in range(size):
        for j in range(size):
            points = [
                (
                    (y1 + (i + (a + 0.5) / samples) * (y2 - y1) / size) / stride - 0.5,
                    (x1 + (j + (b + 0.5) / samples) * (x2 - x1) / size) / stride - 0.5,
                )
                for a in range(samples)
                for b in range(samples)
            ]
            out[i, j] = np.mean([read_between(image, *p) for p in points], axis=0)
    return out


@pytest.mark.parametrize("samples", [1, 2])
def test_equals_a_naive_bilinear_loop_on_every_level(samples):
    rng, strides = np.random.default_rng(0), (2, 4)
    levels = [rng.random((2, 12, 16, 3), np.float32), rng.random((2, 6, 8, 3), np.float32)]
    corner = rng.uniform(-2, 12, (2, 9, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 16, (2, 9, 2))], -1).astype(np.float32)
    found = roi_align(levels, boxes, strides, 3, samples=samples, canonical=2)
    chosen = ops.convert_to_numpy(choose_levels(boxes, strides, canonical=2))
    assert set(chosen.ravel()) == {0, 1}
    for n in range(2):
        for r in range(9):
            k = chosen[n, r]
            expected = align_naively(levels[k][n], boxes[n, r], strides[k], 3, samples)
            np.testing.assert_allclose(found[n, r], expected, atol=1e-5)


def test_level_of_the_paper():
    # 224 pixels read the level of stride 16, half and a quarter of it the finer ones
    boxes = np.float32([[0, 0, s, s] for s in (10, 111, 112, 223, 224, 448, 2000)])
    found = choose_levels(boxes, (4, 8, 16, 32))
    np.testing.assert_array_equal(found, [0, 0, 1, 1, 2, 3, 3])


def test_a_plane_is_read_exactly():
    y, x = np.mgrid[:16, :16] + 0.5
    plane = (3 * y + x).astype(np.float32)[None, ..., None]
    found = ops.convert_to_numpy(roi_align([plane], np.float32([[[4, 4, 8, 12]]]), [1], 2))
    # centres of the parts: y 5 and 7, x 6 and 10
    np.testing.assert_allclose(found[0, 0, ..., 0], [[21, 25], [27, 31]], rtol=1e-6)


def test_masks_read_from_labels():
    labels = np.zeros((1, 6, 6), np.int32)
    labels[0, 1:5, 1:3], labels[0, 1:5, 3:5] = 1, 2
    boxes = np.float32([[[1, 1, 5, 5], [1, 1, 5, 5]]])
    found = ops.convert_to_numpy(read_labels(labels, np.int32([[1, 2]]), boxes, 4))
    np.testing.assert_array_equal(found[0, 0], [[1, 1, 0, 0]] * 4)
    np.testing.assert_array_equal(found[0, 1], [[0, 0, 1, 1]] * 4)


def test_masks_equal_a_naive_loop():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, (1, 9, 11)).astype(np.int32)
    boxes = np.float32([[[0.3, 1.2, 8.9, 7.7]]])
    found = read_labels(labels, np.int32([[2]]), boxes, 5)
    mask = (labels[0] == 2)[..., None].astype(float)
    expected = align_naively(mask, boxes[0, 0], 1, 5, 1)[..., 0]
    np.testing.assert_allclose(found[0, 0], expected, atol=1e-5)
