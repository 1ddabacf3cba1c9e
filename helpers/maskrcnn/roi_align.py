"""RoIAlign: features inside boxes, read between the pixels instead of rounded to them."""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from helpers.maskrcnn.boxes import box_area

__all__ = ["choose_levels", "grid_points", "read_labels", "roi_align"]


def choose_levels(boxes, strides: Sequence[int], *, canonical: float = 14.0):
    """Return the level of the pyramid from which each box is read.

    Parameters
    ----------
    boxes : tensor of float, (..., 4)
        In pixels of the image.
    strides : sequence of int
        Of the levels, doubling.
    canonical : float
        A box reads the coarsest level on which its side, the root of its area, still has this
        many pixels. Lin et al. 2017: 224 pixels at stride 16, so 14.

    Returns
    -------
    tensor of int32, (...)
        Number of the level, 0 for the finest.

    Notes
    -----
    Lin et al. 2017 (feature pyramid networks), equation 1:
    ``floor(k0 + log2(sqrt(w h) / 224))``, here with k0 counted from the finest level.
    """
    side = ops.sqrt(ops.maximum(box_area(boxes), 1e-6))
    level = ops.floor(ops.log(side / (canonical * strides[0])) / ops.log(2.0) + 1e-5)
    return ops.cast(ops.clip(level, 0, len(strides) - 1), "int32")


def grid_points(boxes, size: int):
    """Return the centres of size x size equal parts of boxes.

    Parameters
    ----------
    boxes : tensor of float, (..., 4)
        Boxes.
    size : int
        Parts along each axis.

    Returns
    -------
    y, x : tensor of float, (..., size)
        Coordinates of the rows and columns of parts; pixel i has its centre at i + 0.5.
    """
    steps = (ops.arange(size, dtype="float32") + 0.5) / size
    y = boxes[..., 0:1] + (boxes[..., 2:3] - boxes[..., 0:1]) * steps
    x = boxes[..., 1:2] + (boxes[..., 3:4] - boxes[..., 1:2]) * steps
    return y, x


def roi_align(
    levels: Sequence,
    boxes,
    strides: Sequence[int],
    size: int,
    *,
    samples: int = 1,
    canonical: float = 14.0,
):
    """Return features of each box on a grid of fixed size.

    Parameters
    ----------
    levels : sequence of tensor, each (N, Y, X, C)
        Feature pyramid, finest first.
    boxes : tensor of float, (N, R, 4)
        In pixels of the image; no gradient goes to them.
    strides : sequence of int
        Pixels of the image for each step on a level.
    size : int
        Rows and columns of the result.
    samples : int
        Points in each part along each axis, whose mean is taken. He et al.: 2, "results are
        not sensitive"; 1 takes a quarter of the time.
    canonical : float
        Of :func:`choose_levels`.

    Returns
    -------
    tensor of float, (N, R, size, size, C)
        Values between pixels are bilinear, outside of the frame those of the frame.

    Notes
    -----
    He et al. 2017 (Mask R-CNN), section 3. All levels lie in one table of pixels, so that
    boxes of any level need four look-ups and no branches.
    """
    boxes = ops.stop_gradient(boxes)
    chosen = choose_levels(boxes, strides, canonical=canonical)
    table, first, heights, widths = _stack_levels(levels)
    pick = _pick(chosen, (first, heights, widths, list(strides)))
    start, height, width, stride = (ops.expand_dims(p, -1) for p in pick)
    y, x = grid_points(boxes, size * samples)
    per_pixel = ops.cast(stride, "float32")
    rows = _neighbours(y / per_pixel - 0.5, height)
    columns = _neighbours(x / per_pixel - 0.5, width)
    images = ops.reshape(ops.arange(ops.shape(table)[0]), (-1, 1, 1))
    start = start + images * ops.shape(table)[1]
    flat = ops.reshape(table, (-1, table.shape[-1]))
    found = 0.0
    for row, row_weight in rows:
        for column, column_weight in columns:
            place = ops.expand_dims(start + row * width, -1) + ops.expand_dims(column, -2)
            weight = ops.expand_dims(row_weight, -1) * ops.expand_dims(column_weight, -2)
            found = found + ops.take(flat, place, axis=0) * ops.expand_dims(weight, -1)
    return _mean_of_samples(found, size, samples)


def read_labels(labels, ids, boxes, size: int):
    """Return which part of each box belongs to its object.

    Parameters
    ----------
    labels : tensor of int32, (N, Y, X)
        Label images.
    ids : tensor of int32, (N, R)
        For each box the label of its object.
    boxes : tensor of float, (N, R, 4)
        In pixels.
    size : int
        Rows and columns of the result.

    Returns
    -------
    tensor of float32, (N, R, size, size)
        Bilinear value at the centre of each part of the mask "label equals id": 1 inside,
        0 outside, between them at outlines, so that the line of 0.5 is drawn to fractions
        of a pixel. Beyond the frame the frame goes on.
    """
    shape = ops.shape(labels)
    height, width = shape[1], shape[2]
    y, x = grid_points(boxes, size)
    flat = ops.reshape(labels, (-1,))
    start = ops.reshape(ops.arange(shape[0]), (-1, 1, 1)) * height * width
    wanted, found = ids[..., None, None], 0.0
    for row, row_weight in _neighbours(y - 0.5, height):
        for column, column_weight in _neighbours(x - 0.5, width):
            place = ops.expand_dims(start + row * width, -1) + ops.expand_dims(column, -2)
            weight = ops.expand_dims(row_weight, -1) * ops.expand_dims(column_weight, -2)
            inside = ops.cast(ops.take(flat, place, axis=0) == wanted, "float32")
            found = found + inside * weight
    return found


def _stack_levels(levels):
    """Return all levels as one table, (N, pixels, C), and where each begins, with its shape."""
    shapes = [ops.shape(level) for level in levels]
    tables = [
        ops.reshape(x, (s[0], s[1] * s[2], x.shape[-1]))
        for x, s in zip(levels, shapes, strict=True)
    ]
    first = [0]
    for shape in shapes[:-1]:
        first.append(first[-1] + shape[1] * shape[2])
    return ops.concatenate(tables, 1), first, [s[1] for s in shapes], [s[2] for s in shapes]


def _pick(chosen, columns):
    """Return for each box the entries of its level."""
    return [ops.take(ops.stack([ops.cast(v, "int32") for v in c]), chosen) for c in columns]


def _neighbours(position, n):
    """Return the two pixels on both sides of a place along an axis, each with its weight."""
    last = ops.cast(n, "float32") - 1
    position = ops.clip(position, 0.0, last)
    before = ops.floor(position)
    share = position - before
    after = ops.cast(ops.minimum(before + 1, last), "int32")
    return (ops.cast(before, "int32"), 1 - share), (after, share)


def _mean_of_samples(values, size: int, samples: int):
    if samples == 1:
        return values
    shape = ops.shape(values)
    parts = (shape[0], shape[1], size, samples, size, samples, values.shape[-1])
    return ops.mean(ops.reshape(values, parts), axis=(3, 5))
