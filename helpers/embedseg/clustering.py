"""From raw output to objects: pixels that point to the same place belong together."""

from __future__ import annotations

import numpy as np
from numba import njit

from helpers.embedseg.space import EmbeddingSpace

__all__ = ["cluster_embeddings"]

CELL_PIXELS = 8  # side of a cell of the search grid; changes the time, never the result


def cluster_embeddings(
    raw: np.ndarray,
    space: EmbeddingSpace,
    *,
    foreground: float = 0.5,
    seed: float = 0.9,
    min_size: int = 0,
    keep_first: bool = False,
) -> np.ndarray:
    """Return the objects in the raw output of a network.

    Parameters
    ----------
    raw : ndarray of float, YXC or ZYXC
        Offset and sigma along each axis, seed logit (`build_branched_erfnet`, `predict_raw`).
    space : EmbeddingSpace
        The one the network was trained with.
    foreground : float
        Pixels with a seed probability above this can belong to objects.
    seed : float
        An object starts from a pixel of at least this probability.
    min_size : int
        An object needs more pixels than this when it is proposed; those that later ones take
        away do not count. Use the smallest training object.
    keep_first : bool
        Where two objects claim a pixel, True gives it to the more probable one, found first;
        False, as published, to the later one.

    Returns
    -------
    ndarray of int32, spatial shape of `raw`
        Label image, numbered from 1 without gaps, in the order of falling seed probability.

    Raises
    ------
    ValueError
        If `raw` does not fit the space or is not finite, or a threshold is no probability.

    Notes
    -----
    The most probable free pixel proposes all foreground pixels with phi > 0.5 around its own
    embedding, with its own radius. The proposal becomes an object if it has more than
    `min_size` pixels and more than half of them are free; taken or not, its pixels are free no
    longer. Then the next. Ties go to the pixel that comes first in the image.

    The result is that of a scan of all foreground pixels for every object (Lalit et al. 2021).
    Here pixels are sorted once by probability and once into cells by embedding, so each
    proposal visits only the cells within its radius.
    """
    for name, value in (("foreground", foreground), ("seed", seed)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}: give a probability from 0 to 1")
    raw = space.check(raw)
    pixels = np.flatnonzero(raw[..., -1] > _logit(foreground))
    labels = np.zeros(raw.shape[:-1], np.int32)
    if not pixels.size:
        return labels
    points, radii, seeds = _gather(raw, space, pixels)
    bins, n_bins, low, cell = _sort_into_cells(points, space)
    order = np.argsort(-seeds, kind="stable")
    starts = order[seeds[order] >= _logit(seed)]
    found = _cluster(
        (points[bins[0]], bins[1], np.argsort(bins[0])), (n_bins, low, cell), radii, starts,
        (min_size, keep_first),
    )  # fmt: skip
    labels.ravel()[pixels[bins[0]]] = found
    return _close_gaps(labels)


def _logit(p: float) -> float:
    """Return the logit that `p` is the sigmoid of; thresholds then need no rounding of p."""
    with np.errstate(divide="ignore"):
        return float(np.log(p) - np.log1p(-p))


def _gather(raw: np.ndarray, space: EmbeddingSpace, pixels: np.ndarray) -> tuple:
    """Return embeddings and radii (n, 3), and seed logits of the foreground; 2D gets z = 0."""
    values = raw.reshape(-1, raw.shape[-1])[pixels].astype(float)
    places = np.stack(np.unravel_index(pixels, raw.shape[:-1]), axis=-1) * space.spacing
    embeddings = places + space.reach * np.tanh(values[:, : space.ndim])
    sigmas = np.clip(values[:, space.ndim : -1], -20, 20)
    radii = space.radius * np.exp(-5 * (sigmas - 1))
    missing = [(0, 0), (3 - space.ndim, 0)]
    return np.pad(embeddings, missing), np.pad(radii, missing, constant_values=1), values[:, -1]


def _sort_into_cells(points: np.ndarray, space: EmbeddingSpace) -> tuple:
    """Sort points by cell; return their order, where each cell starts, and the grid."""
    cell = np.array([1.0] * (3 - space.ndim) + [CELL_PIXELS * size for size in space.spacing])
    low, high = points.min(axis=0), points.max(axis=0)
    n_bins = ((high - low) / cell).astype(np.int64) + 1
    while n_bins.prod() > 4 * len(points) + 64:  # strays far away must not cost memory
        cell *= 2
        n_bins = ((high - low) / cell).astype(np.int64) + 1
    index = np.ravel_multi_index(tuple(((points - low) / cell).astype(np.int64).T), n_bins)
    starts = np.zeros(n_bins.prod() + 1, np.int64)
    np.cumsum(np.bincount(index, minlength=n_bins.prod()), out=starts[1:])
    return (np.argsort(index, kind="stable"), starts), n_bins, low, cell


@njit(cache=True)
def _cluster(sorted_points, grid, radii, starts, rules):
    """Return the label of each point, in the order of the cells."""
    points, first, where = sorted_points
    n_bins, low, cell = grid
    min_size, keep_first = rules
    n = len(points)
    labels, free = np.zeros(n, np.int32), np.ones(n, np.bool_)
    proposal = np.empty(n, np.int64)
    begin, end = np.empty(3, np.int64), np.empty(3, np.int64)
    label = 0
    for start in starts:
        center = where[start]
        if not free[center]:
            continue
        free[center] = False
        for axis in range(3):
            # slightly wider, so that rounding cannot leave a cell out
            reach = radii[start, axis] * 1.000001 + 1e-9 * cell[axis]
            middle = points[center, axis] - low[axis]
            last = n_bins[axis] - 1.0
            begin[axis] = int(min(max((middle - reach) / cell[axis], 0.0), last))
            end[axis] = int(min((middle + reach) / cell[axis], last)) + 1
        size = n_free = 0
        for z in range(begin[0], end[0]):
            for y in range(begin[1], end[1]):
                row = (z * n_bins[1] + y) * n_bins[2]
                for k in range(first[row + begin[2]], first[row + end[2]]):
                    away = 0.0
                    for axis in range(3):
                        step = (points[k, axis] - points[center, axis]) / radii[start, axis]
                        away += step * step
                    if away < 1.0:  # phi = 2 ** -away > 0.5
                        proposal[size] = k
                        size += 1
                        n_free += free[k]
        accepted = size > min_size and 2 * n_free > size
        label += accepted
        for k in proposal[:size]:
            free[k] = False
            if accepted and not (keep_first and labels[k]):
                labels[k] = label
    return labels


def _close_gaps(labels: np.ndarray) -> np.ndarray:
    """Renumber, for an object can lose all its pixels to later ones."""
    present = np.bincount(labels.ravel()) > 0
    present[0] = False
    return (np.cumsum(present) * present).astype(np.int32)[labels]
