"""Nuclei in fields of any size: the maps tile by tile, then one watershed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from helpers.fpn.watershed import segment_maps
from helpers.fpn.watershed_rule import WatershedRule

__all__ = ["predict_field", "segment_field"]


def predict_field(
    predict: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    *,
    normalize: Callable[[np.ndarray], np.ndarray],
    tile_shape: tuple[int, int] = (512, 512),
    overlap: tuple[int, int] = (64, 64),
    **options,
) -> np.ndarray:
    """Return the maps of a field of any size, tile by tile.

    Parameters
    ----------
    predict : callable
        Batch of tiles, NYXC float32, to maps NYX2 or NYX3: distance, border, foreground.
    image : ndarray, YX or YXC
        The field, any grey values.
    normalize : callable
        Applied to the whole field at once, not to tiles, whose own ranges would differ; the
        one of the training.
    tile_shape, overlap : tuple of int
        Pixels; the network needs tiles whose sides are multiples of 32.
    **options
        ``batch_size``, ``out`` and ``tta`` of :func:`helpers.tiles.predict_tiled`;
        ``tta=True`` takes the mean over eight flips and turns, in eight times the time. When
        not given it is that of `predict`, if it has one (:class:`helpers.fpn.FpnNetworks`).

    Returns
    -------
    ndarray of float32, YX2 or YX3
        The maps.

    Raises
    ------
    ValueError
        If `image` has other axes.
    """
    from helpers.tiles.predict import predict_tiled

    image = np.asarray(image)
    if image.ndim not in (2, 3):
        raise ValueError(f"image has shape {image.shape}: give one field with axes YX or YXC")
    scaled = np.asarray(normalize(image), np.float32)
    scaled = scaled[..., None] if image.ndim == 2 else scaled
    options.setdefault("tta", getattr(predict, "tta", None))
    return predict_tiled(predict, scaled, tile_shape=tile_shape, overlap=overlap, **options)


def segment_field(
    predict: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    *,
    rule: WatershedRule | None = None,
    **options,
) -> np.ndarray:
    """Return the nuclei of a field of any size, in bounded memory.

    Parameters
    ----------
    predict, image
        As in :func:`predict_field`.
    rule : WatershedRule, optional
        Thresholds; the mended rule when not given.
    **options
        ``normalize`` and the others of :func:`predict_field`.

    Returns
    -------
    ndarray of int32, YX
        Label image.

    Notes
    -----
    The network sees one batch of tiles at a time; their maps are blended before the
    watershed, which runs once over the whole field, so that no nucleus is cut by a tile.
    Beside the network's own, the memory is about 35 bytes for each pixel: 200 MB for
    2158 x 2558 pixels.
    """
    maps = predict_field(predict, image, **options)
    return segment_maps(maps, rule)
