"""One object for one nucleus: doubles from overlapping tiles or classes are removed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from helpers.maskrcnn.detections import Detections, paste_mask

__all__ = ["merge_by_shared_pixels", "merge_detections", "tile_layers"]


def merge_detections(
    found: Detections,
    shape: tuple[int, int],
    *,
    iou: float = 0.4,
    contained: float = 0.6,
    mask_threshold: float = 0.5,
) -> Detections:
    """Remove objects that are another, better one again, or a part of it.

    Parameters
    ----------
    found : Detections
        Of one image, all tiles together.
    shape : tuple of int
        Rows and columns of the image.
    iou : float
        An object goes if the IoU of its mask with a better one is above this.
    contained : float
        An object goes if more than this share of the smaller of both masks is common.
    mask_threshold : float
        An object is where its mask is above this.

    Returns
    -------
    Detections
        Those that stay, best first. Objects that no tile cuts come before those that one
        does, then by score: what is cut in one tile is whole in its neighbour, as long as the
        overlap is wider than the object.

    Notes
    -----
    Nothing is ever joined, so touching nuclei stay apart whatever pixels they share.
    """
    found = found.take(np.lexsort((-found.scores, ~found.whole)))
    pasted = [
        _cut_mask(*pair, shape, mask_threshold)
        for pair in zip(found.masks, found.boxes, strict=True)
    ]
    areas = np.array([mask.sum() for _, mask in pasted], int)
    stays: list[int] = []
    for k in np.flatnonzero(areas):
        near = [j for j in stays if _boxes_meet(found.boxes[j], found.boxes[k])]
        common = np.array([_count_common(pasted[j], pasted[k]) for j in near], float)
        others = areas[near]
        union = np.maximum(others + areas[k] - common, 1)
        smaller = np.minimum(others, areas[k])
        if not ((common / union > iou) | (common / smaller > contained)).any():
            stays.append(k)
    return found.take(np.array(stays, int))


def tile_layers(
    found: Detections, shape: tuple[int, int], *, mask_threshold: float = 0.5
) -> np.ndarray:
    """Return one label image for each tile, as the published pipeline stores them.

    Parameters
    ----------
    found : Detections
        Of one image, all tiles together.
    shape : tuple of int
        Rows and columns of the image.
    mask_threshold : float
        An object is where its mask is above this.

    Returns
    -------
    ndarray of int32, (tiles, Y, X)
        Numbers differ between all layers; in a layer a later object overwrites an earlier one.
    """
    tiles, number = np.unique(found.tiles, return_inverse=True)
    layers = np.zeros((max(len(tiles), 1), *shape), np.int32)
    for k, layer in enumerate(number, start=1):
        place, mask = _cut_mask(found.masks[k - 1], found.boxes[k - 1], shape, mask_threshold)
        layers[layer][place][mask] = k
    return layers


def merge_by_shared_pixels(layers: Sequence[np.ndarray], min_shared: int = 10) -> np.ndarray:
    """Join objects of different tiles that share pixels: the published rule, for comparison.

    Parameters
    ----------
    layers : sequence of ndarray of int, each YX
        Of :func:`tile_layers`.
    min_shared : int
        Two objects of different layers with so many common pixels become one, and with them
        all that are joined to either.

    Returns
    -------
    ndarray of int32, YX
        Label image. Where two nuclei touch, both masks often reach over the border by some
        pixels, in one tile more than in the other; then this rule fuses them.

    Notes
    -----
    The rule of Zaki et al. 2020: pairs, then connected components, then the largest
    number of all layers at each pixel.
    """
    stack = np.asarray(layers)
    pairs = []
    for i in range(len(stack)):
        for j in range(i):
            both = (stack[i] > 0) & (stack[j] > 0)
            pairs.append(np.stack([stack[i][both], stack[j][both]], axis=1))
    pairs = np.concatenate([*pairs, np.zeros((0, 2), int)])
    linked, shared = np.unique(pairs, axis=0, return_counts=True)
    linked = linked[shared >= min_shared]
    n = int(stack.max(initial=0)) + 1
    graph = coo_array((np.ones(len(linked)), linked.T.astype(int)), shape=(n, n))
    group = connected_components(graph, directed=False)[1] + 1
    group[0] = 0
    joined = group[stack].max(axis=0)
    return np.unique(np.append(0, joined), return_inverse=True)[1][1:].reshape(joined.shape)


def _cut_mask(mask, box, shape, threshold):
    place, probability = paste_mask(mask, box, shape)
    return place, probability > threshold


def _boxes_meet(first: np.ndarray, second: np.ndarray) -> bool:
    return bool(np.all(first[:2] < second[2:]) and np.all(second[:2] < first[2:]))


def _count_common(first: tuple, second: tuple) -> int:
    """Count the pixels that two pasted masks share."""
    start = [max(a.start, b.start) for a, b in zip(first[0], second[0], strict=True)]
    stop = [min(a.stop, b.stop) for a, b in zip(first[0], second[0], strict=True)]
    if any(a >= b for a, b in zip(start, stop, strict=True)):
        return 0
    parts = [
        mask[
            tuple(
                slice(a - s.start, b - s.start) for a, b, s in zip(start, stop, place, strict=True)
            )
        ]
        for place, mask in (first, second)
    ]
    return int(np.count_nonzero(parts[0] & parts[1]))
