"""Prediction of images and volumes of any size, window by window, in bounded memory."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.tiles.predictor import WindowPredictor
from helpers.tiles.windows import Windows, plan_blocks

__all__ = [
    "predict_block",
    "predict_tiled",
]


def predict_tiled(
    predict: Callable,
    image,
    *,
    tile_shape: Sequence[int],
    overlap: int | Sequence[int],
    out=None,
    finish: Callable | None = None,
    memory_limit: float = 1e9,
    **options,
):
    """Predict an image or volume of any size from overlapping windows without seams.

    Parameters
    ----------
    predict : keras.Model or callable
        ``(N, *tile_shape, C_in)`` float32 to ``(N, *tile_shape, C_out)``. Values come as they
        are in the image, so a callable may also normalise: ``lambda x: model(x / 255)``.
    image : array or lazy array (memory map, zarr, h5py, dask), YX, YXC, ZYX or ZYXC
        Only one batch of windows is read at a time.
    tile_shape : sequence of int
        Shape of a window, YX or ZYX; the network sees no other one. Smaller images are
        reflected at their borders.
    overlap : int or sequence of int
        Neighbours share at least so many pixels.
    out : array opened for writing, optional
        Takes the result instead of memory: ``(*spatial, C_out)``, or ``(*spatial,)`` for one
        channel. Each row (2D) or plane (3D) is written once, when it is final. One batch
        more is predicted, to learn the number of channels.
    finish : callable, optional
        Applied to finished rows or planes, ``(rows, ..., C_out)`` float32, before they are
        written: ``lambda p: p[..., 0] > 0.5`` stores a mask.
    memory_limit : float
        Bytes for the rows in work when `out` is given. A wider image is predicted in columns;
        the windows at their borders are then predicted twice.
    **options
        ``batch_size``, ``tta``, ``restore``, ``margin`` and ``step`` as in
        :func:`predict_block`.

    Returns
    -------
    ndarray of float32, ``(*spatial, C_out)``, or `out`
        Mean of the windows with the weights of :func:`plan_windows`.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or `predict` does not return one array.

    Examples
    --------
    >>> image = np.arange(35.0).reshape(5, 7)
    >>> predict_tiled(np.negative, image, tile_shape=(4, 4), overlap=2)[2, 3]
    array([-17.], dtype=float32)
    """
    job = WindowPredictor.plan(predict, image, tile_shape, overlap, **options)
    shape = job.windows.shape
    if out is not None and tuple(out.shape[: len(shape)]) != shape:
        raise ValueError(
            f"out has shape {tuple(out.shape)} for an image of shape {shape}: open it with the "
            "shape of the image, and the channels of the prediction last"
        )
    target = _Target(out, finish, shape, (0,) * len(shape))
    blocks = plan_blocks(shape, shape) if out is None else _split_columns(job, memory_limit)
    for block in blocks:
        _blend(job, block, target)
    return target.array


def predict_block(
    predict: Callable,
    image,
    block: Sequence[slice],
    *,
    tile_shape: Sequence[int],
    overlap: int | Sequence[int],
    finish: Callable | None = None,
    **options,
) -> np.ndarray:
    """Predict one box of an image; the same values as in the prediction of the whole.

    Blocks do not depend on each other, so that several processes or machines can share an
    image: each takes blocks of :func:`plan_blocks` and stores them in one array. If the
    blocks are its chunks, no two processes write to the same one.

    Parameters
    ----------
    predict, image, tile_shape, overlap, finish
        As in :func:`predict_tiled`; `image` is the whole image, of which only the windows
        that count in the block are read.
    block : sequence of slice
        One slice without step for each spatial axis.
    **options
        batch_size : int, default 1
            Windows per call; the last call is filled up with zeros, so that a network is
            compiled once.
        tta : bool or sequence of Turn, default False
            True predicts each window in all 8 (2D) or 16 (3D) flips and turns of
            :func:`turns` and takes the mean; or the ones given.
        restore : callable, optional
            ``prediction = restore(prediction, turn)`` for each turn, after turning back: mends
            channels whose values depend on direction (:func:`restore_vectors`).
        margin, step
            As in :func:`plan_windows`.

    Returns
    -------
    ndarray of float32, ``(*block, C_out)``
        Equal to the same box of :func:`predict_tiled`, up to the rounding of networks that
        compute differently at another place in a batch.

    Raises
    ------
    ValueError
        As in :func:`predict_tiled`, and if the block lies outside of the image.
    """
    job = WindowPredictor.plan(predict, image, tile_shape, overlap, **options)
    sides = [side.indices(n)[:2] for side, n in zip(block, job.windows.shape, strict=True)]
    if any(start >= stop for start, stop in sides):
        raise ValueError(
            f"block is {tuple(block)} in an image of shape {job.windows.shape}: give a box of at "
            "least one pixel inside of the image"
        )
    origin = tuple(start for start, _ in sides)
    target = _Target(None, finish, tuple(stop - start for start, stop in sides), origin)
    _blend(job, tuple(slice(*side) for side in sides), target)
    return target.array


@dataclass
class _Target:
    """The array to be written; made with the first rows, when their channels are known."""

    array: object
    finish: Callable | None
    shape: tuple[int, ...]
    origin: tuple[int, ...]

    def write(self, box: Sequence[slice], values: np.ndarray) -> None:
        ndim = len(self.shape)
        values = self.finish(values) if self.finish else values
        if self.array is None:
            self.array = np.empty((*self.shape, *values.shape[ndim:]), values.dtype)
        if len(self.array.shape) == ndim and values.shape[ndim:] == (1,):
            values = values[..., 0]
        place = zip(box, self.origin, strict=True)
        self.array[tuple(slice(side.start - o, side.stop - o) for side, o in place)] = values


def _blend(job: WindowPredictor, block: tuple[slice, ...], target: _Target) -> None:
    """Write the blended prediction of a block, rows of the first axis as they become final."""
    windows, origin, rows = job.windows, [side.start for side in block], None
    for numbers, prediction in job.iter_predictions(windows.touching(block)):
        reach = zip(windows.reach(numbers), block, strict=True)
        box = [(max(a, side.start), min(b, side.stop)) for (a, b), side in reach]
        if rows is None:
            sides = [side.stop - side.start for side in block]
            sides[0] = min(sides[0], windows.tile_shape[0])
            rows = np.zeros((*sides, prediction.shape[-1]), np.float32)
        n_final = box[0][0] - origin[0]
        if n_final > 0:  # windows come in order: no later one counts above this row
            target.write((slice(origin[0], box[0][0]), *block[1:]), rows[:n_final])
            _release(job.image, target.array)
            _shift_rows(rows, n_final)
            origin[0] = box[0][0]
        place = tuple(slice(a - o, b - o) for (a, b), o in zip(box, origin, strict=True))
        rows[place] += _weigh(windows, numbers, box, prediction)
    target.write((slice(origin[0], block[0].stop), *block[1:]), rows[: block[0].stop - origin[0]])
    _release(job.image, target.array)


def _weigh(windows: Windows, numbers, box, prediction: np.ndarray) -> np.ndarray:
    begin = [starts[i] for starts, i in zip(windows.starts, numbers, strict=True)]
    inner = tuple(slice(a - s, b - s) for (a, b), s in zip(box, begin, strict=True))
    weight = np.ones(1, np.float32)
    for weights, number, side in zip(windows.weights, numbers, inner, strict=True):
        weight = weight[..., None] * weights[number][side]
    return prediction[inner] * weight.reshape(*weight.shape[1:], 1)


def _shift_rows(rows: np.ndarray, count: int) -> None:
    for i in range(len(rows)):  # one by one: numpy would copy overlapping halves first
        rows[i] = rows[i + count] if i + count < len(rows) else 0


def _release(*arrays) -> None:
    """Let the system take back the pages of memory-mapped files; the files keep all values."""
    for array in arrays:
        pages, shared = getattr(array, "_mmap", None), getattr(array, "mode", "c") != "c"
        if isinstance(pages, mmap.mmap) and shared and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)


def _split_columns(job: WindowPredictor, memory_limit: float) -> list[tuple[slice, ...]]:
    """Return blocks as deep as the image and so narrow that their rows fit into memory."""
    windows = job.windows
    corner = windows.touching([slice(0, 1)] * len(windows.shape))
    n_channels = next(job.iter_predictions(corner))[1].shape[-1]
    sides, tiles = np.array(windows.shape[1:]), np.array(windows.tile_shape[1:])
    while 4 * n_channels * windows.tile_shape[0] * sides.prod() > memory_limit:
        widest = np.argmax(sides / tiles)
        if sides[widest] <= 2 * tiles[widest]:
            break
        sides[widest] = -(-sides[widest] // 2)
    return plan_blocks(windows.shape, (windows.shape[0], *sides))
