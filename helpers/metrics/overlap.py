"""The table of shared pixels of two label images, and what is read from it.

The table is sparse and counted once for a pair of images, whatever the number of scores
and thresholds: memory grows with the pairs that touch, not with the square of the objects.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

__all__ = ["MIN_SHARE", "Overlap", "assign_pairs", "count_overlap", "find_merges", "find_splits"]

MIN_SHARE = 0.1
"""Share of an object that all pieces but the largest must cover to make a merge or split."""


class Overlap(NamedTuple):
    """Objects of two label images, and the pairs of them that share pixels.

    Attributes
    ----------
    ids_true, ids_pred : ndarray of int
        Labels of the objects, ascending, without the background.
    area_true, area_pred : ndarray of int
        Their pixels.
    i, j : ndarray of int, shape (n_pairs,)
        Positions in `ids_true` and `ids_pred` of the two objects of each pair.
    shared : ndarray of int, shape (n_pairs,)
        Pixels in both objects.
    iou : ndarray of float, shape (n_pairs,)
        Intersection over union.
    """

    ids_true: np.ndarray
    ids_pred: np.ndarray
    area_true: np.ndarray
    area_pred: np.ndarray
    i: np.ndarray
    j: np.ndarray
    shared: np.ndarray
    iou: np.ndarray


def _check_labels(labels: np.ndarray, name: str) -> np.ndarray:
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"{name} must hold integer object ids, got {labels.dtype}: number the objects of "
            "a mask with skimage.measure.label, or convert whole numbers with astype('int32')"
        )
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if low < 0 or high >= 2**32:
        raise ValueError(
            f"{name} has ids from {low} to {high}, outside 0 to 2**32 - 1: renumber them "
            "from 1, with 0 as background"
        )
    return labels


def count_overlap(labels_true: np.ndarray, labels_pred: np.ndarray) -> Overlap:
    """Count the pixels shared by every pair of objects.

    Parameters
    ----------
    labels_true, labels_pred : ndarray of int, any shape
        Label images of equal shape, 0 is background, ids below 2**32.

    Returns
    -------
    Overlap
        Objects, their areas, and the pairs that share pixels.

    Raises
    ------
    ValueError
        If shapes differ, a label image is not of integers, or ids are out of range.
    """
    true = _check_labels(labels_true, "labels_true")
    pred = _check_labels(labels_pred, "labels_pred")
    if true.shape != pred.shape:
        raise ValueError(
            f"labels_true has shape {true.shape}, labels_pred {pred.shape}: both must be of "
            "the same image, uncropped and in the same axis order"
        )
    # both ids of a pixel in one 64-bit number, so that a single hash pass counts all pairs
    key = true.ravel().astype(np.uint64) << np.uint64(32)
    codes, pairs = pd.factorize(key | pred.ravel().astype(np.uint64))
    shared = np.bincount(codes, minlength=pairs.size)
    pair_true, pair_pred = (pairs >> np.uint64(32)).astype(int), (pairs & 0xFFFFFFFF).astype(int)
    ids_true, i, area_true = _sum_areas(pair_true, shared)
    ids_pred, j, area_pred = _sum_areas(pair_pred, shared)
    both = (pair_true > 0) & (pair_pred > 0)
    i, j, shared = i[both], j[both], shared[both]
    iou = shared / (area_true[i] + area_pred[j] - shared)
    return Overlap(ids_true, ids_pred, area_true, area_pred, i, j, shared, iou)


def _sum_areas(ids: np.ndarray, shared: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return object ids, the object index of each pair (-1: background), and areas."""
    objects = np.unique(ids[ids > 0])
    index = np.where(ids > 0, np.searchsorted(objects, ids), -1)
    area = np.bincount(index + 1, shared, minlength=objects.size + 1)[1:].astype(int)
    return objects, index, area


def assign_pairs(table: Overlap, threshold: float) -> np.ndarray:
    """Choose the matched pairs: IoU >= threshold, and each object in at most one of them.

    Parameters
    ----------
    table : Overlap
        Result of `count_overlap`.
    threshold : float
        IoU threshold.

    Returns
    -------
    ndarray of int
        Positions of the matched pairs in the table. Where an object has several candidates
        (only possible at thresholds of 0.5 and below) the choice gives the most pairs, and
        of such choices the one with the largest sum of IoU.
    """
    pairs = np.flatnonzero(table.iou >= threshold)
    i, j = table.i[pairs], table.j[pairs]
    sole = (np.bincount(i)[i] == 1) & (np.bincount(j)[j] == 1)
    return np.sort(np.concatenate([pairs[sole], _assign_contested(table, pairs[~sole])]))


def _assign_contested(table: Overlap, pairs: np.ndarray) -> np.ndarray:
    """Choose among pairs that share objects; few, so a dense table of them does no harm."""
    if not pairs.size:
        return pairs
    rows, row = np.unique(table.i[pairs], return_inverse=True)
    columns, column = np.unique(table.j[pairs], return_inverse=True)
    # most pairs first, then the largest IoU: the sum of IoU can never outweigh one pair
    gain = np.zeros((rows.size, columns.size))
    gain[row, column] = 1 + table.iou[pairs] / (2 * min(gain.shape))
    position = np.full(gain.shape, -1)
    position[row, column] = pairs
    chosen = position[linear_sum_assignment(gain, maximize=True)]
    return chosen[chosen >= 0]


def find_merges(table: Overlap) -> np.ndarray:
    """Find the pairs that make a merge: several true objects in one predicted object.

    Parameters
    ----------
    table : Overlap
        Result of `count_overlap`.

    Returns
    -------
    ndarray of int
        Positions of those pairs in the table.

    Notes
    -----
    A true object belongs to the predicted one that holds more than half of its pixels. A
    predicted object with at least two of them is a merge, unless all but the largest fill
    less than `MIN_SHARE` of it, as specks do.
    """
    inside = 2 * table.shared > table.area_true[table.i]
    return _find_gatherings(table.j, table.shared, inside, table.area_pred)


def find_splits(table: Overlap) -> np.ndarray:
    """Find the pairs that make a split: `find_merges` with the two sides exchanged.

    Parameters
    ----------
    table : Overlap
        Result of `count_overlap`.

    Returns
    -------
    ndarray of int
        Positions of those pairs in the table.
    """
    inside = 2 * table.shared > table.area_pred[table.j]
    return _find_gatherings(table.i, table.shared, inside, table.area_true)


def _find_gatherings(
    container: np.ndarray, shared: np.ndarray, inside: np.ndarray, area: np.ndarray
) -> np.ndarray:
    """Return the pairs whose container holds several objects, specks left out."""
    total, largest = np.zeros(area.size, int), np.zeros(area.size, int)
    np.add.at(total, container[inside], shared[inside])
    np.maximum.at(largest, container[inside], shared[inside])
    gathers = (total > largest) & (total - largest >= MIN_SHARE * area)
    return np.flatnonzero(inside & gathers[container])
