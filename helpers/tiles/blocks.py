"""Prediction of arrays larger than memory, block by block, on several processes or machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from helpers.tiles.block_inputs import load_network, open_array, window_function
from helpers.tiles.predict import predict_block
from helpers.tiles.windows import plan_blocks, plan_windows

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["count_windows", "load_network", "open_array", "predict_blocks"]


def predict_blocks(
    predict: Callable | str | Path,
    image,
    *,
    tile_shape: Sequence[int],
    overlap: int | Sequence[int],
    block_shape: Sequence[int] | None = None,
    leading: Sequence[int] = (),
    normalize: Callable | None = None,
    finish: Callable | None = None,
    **options,
) -> da.Array:
    """Return the prediction of an image as a dask array, whose blocks are predicted on demand.

    Nothing but one batch of windows, for the number of channels, is predicted at once.
    ``predict_blocks(...).to_zarr("mask.zarr")`` then predicts and writes all blocks on
    whatever runs dask: the threads of this process, a ``dask.distributed.Client`` of
    processes on this machine, or one of a cluster.

    Parameters
    ----------
    predict : path or callable
        A model folder or a run folder, which every worker loads once (:func:`load_network`);
        or a function as in `helpers.tiles.predict_tiled`, which dask must be able to send to
        its workers: one of a module, not a Keras model.
    image : path or array, YX, YXC, ZYX or ZYXC
        Best a path that all workers see (:func:`open_array`), or a ``zarr.Array``, which is
        sent as a reference. An array in memory is copied to every worker.
    tile_shape, overlap
        Of the windows, as in `helpers.tiles.predict_tiled`.
    block_shape : sequence of int, optional
        Shape of a block along the spatial axes, and so of the chunks of a zarr array that
        the result is written to; four windows along each axis by default.
    leading : sequence of int
        Indices of axes before the spatial ones, such as ``(0, 1)`` for time 0 and channel 1 of
        an array TCZYX.
    normalize : callable, optional
        Applied to windows; best ``Normalizer().fit([...])``, for its constants are the same
        in all blocks. By default what a run folder was trained with.
    finish : callable, optional
        Applied to finished rows or planes of ``(rows, ..., C_out)``, such as a threshold.
    **options
        ``batch_size``, ``tta``, ``restore``, ``margin`` and ``step`` as in
        `helpers.tiles.predict_block`.

    Returns
    -------
    dask.array.Array, ``(*spatial, C_out)``, or ``(*spatial,)`` if `finish` takes the channels away
        Float32, or what `finish` gives. Computed, it equals ``predict_tiled(...)``: a pixel's
        value is the sum over the same windows with the same weights in the same order.

    Raises
    ------
    ValueError
        If shapes do not fit each other, the image is a dask array, or the model cannot be
        used window by window.

    Notes
    -----
    A block needs all windows that count in it, and those across a border between blocks are
    predicted once for each side; :func:`count_windows` tells how many that is.

    Examples
    --------
    >>> image = np.arange(35.0).reshape(5, 7)
    >>> lazy = predict_blocks(np.negative, image, tile_shape=(4, 4), overlap=2, block_shape=(3, 5))
    >>> lazy.chunks, lazy[2, 3].compute()
    (((3, 2), (5, 2), (1,)), array([-17.], dtype=float32))
    """
    import dask
    import dask.array as da

    if isinstance(image, da.Array):
        raise ValueError(
            "image is a dask array, which each block would compute again: give the path of the "
            "array it is read from, or write it with to_zarr first"
        )
    image = str(Path(image).absolute()) if isinstance(image, str | Path) else image
    predict = str(Path(predict).absolute()) if isinstance(predict, str | Path) else predict
    ndim, shape = len(tile_shape), open_array(image, leading).shape
    sides = tuple(4 * n for n in tile_shape) if block_shape is None else tuple(block_shape)
    if len(sides) != ndim or len(shape) not in (ndim, ndim + 1) or min(sides) < 1:
        raise ValueError(
            f"image has shape {shape}{' after leading axes' if leading else ''}, block_shape is "
            f"{sides} and tile_shape {tuple(tile_shape)}: give blocks and windows with one side "
            "for each spatial axis, and the indices of all axes before these as leading"
        )
    options = {**options, "tile_shape": tuple(tile_shape), "overlap": overlap, "finish": finish}
    work = partial(
        _predict_box, predict=predict, image=image, leading=tuple(leading), normalize=normalize,
        **options,
    )  # fmt: skip
    corner = dask.delayed(work, pure=False)([(0, 1)] * ndim).compute()
    after = corner.shape[ndim:]
    chunks = da.core.normalize_chunks((*sides, *after), (*shape[:ndim], *after))
    return da.map_blocks(
        partial(_predict_chunk, work=work, ndim=ndim), chunks=chunks, dtype=corner.dtype,
        meta=np.empty((0,) * (ndim + len(after)), corner.dtype),
        name=f"predict-{uuid4().hex}",  # a path says nothing of what the file holds by now
    )  # fmt: skip


def count_windows(
    shape: Sequence[int],
    block_shape: Sequence[int],
    tile_shape: Sequence[int],
    overlap: int | Sequence[int],
    **options,
) -> tuple[int, int]:
    """Return the windows predicted for all blocks, and for the image in one piece.

    Parameters
    ----------
    shape, block_shape, tile_shape, overlap
        As in :func:`predict_blocks`; the spatial axes alone.
    **options
        ``margin`` and ``step`` of `helpers.tiles.windows.plan_windows`.

    Examples
    --------
    >>> count_windows((1000, 1000), (512, 512), (128, 128), 32)
    (144, 121)
    """
    windows = plan_windows(shape, tile_shape, overlap, **options)
    blocks = plan_blocks(shape, block_shape)
    return sum(len(windows.touching(block)) for block in blocks), len(windows)


def _predict_chunk(*, work: Callable, ndim: int, block_info=None) -> np.ndarray:
    return work(block_info[None]["array-location"][:ndim])


def _predict_box(sides, *, predict, image, leading, normalize, **options) -> np.ndarray:
    box = tuple(slice(*side) for side in sides)
    function = window_function(predict, normalize, len(options["tile_shape"]))
    return predict_block(function, open_array(image, leading), box, **options)
