"""Scores of one label image against another: matched objects, SEG, merges, splits.

Import these names from `helpers.metrics`. See ``docs/metrics.md`` for formulas, rules and
failure cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers.metrics.overlap import (
    assign_pairs,
    count_overlap,
    find_merges,
    find_splits,
)

__all__ = [
    "REPORTED",
    "THRESHOLDS",
    "InstanceScores",
    "ObjectMatches",
    "match_objects",
    "score_instances",
]

THRESHOLDS = tuple(k / 20 for k in range(10, 20))
"""IoU thresholds 0.50, 0.55 … 0.95, each the float nearest to its decimal."""

REPORTED = (0.5, 0.7, 0.9)
"""Thresholds that get columns in the per-image table and names in `summary.json`."""


@dataclass(frozen=True, eq=False)
class InstanceScores:
    """Counts of one image, or of several added up, and the ratios made from them.

    Scores add: ``a + b`` sums the counts, so a pooled score is made by the same formulas
    as that of one image. Ratios are arrays with one value for each threshold.

    Attributes
    ----------
    thresholds : tuple of float
        IoU thresholds t; a pair matches when IoU >= t.
    tp : ndarray of int, shape (n_thresholds,)
        Matched pairs.
    iou_sum : ndarray of float, shape (n_thresholds,)
        Sum of IoU over the matched pairs.
    seg_sum : float
        Sum over true objects of the IoU that SEG counts for them.
    n_true, n_pred : int
        Number of true and of predicted objects.
    merges, splits : int
        Predicted objects that join true ones; true objects cut into several.

    Notes
    -----
    With no object on either side every ratio is 1: the image is predicted perfectly. With
    objects on one side only every ratio is 0. None is ever NaN.
    """

    thresholds: tuple[float, ...]
    tp: np.ndarray
    iou_sum: np.ndarray
    seg_sum: float
    n_true: int
    n_pred: int
    merges: int
    splits: int

    @property
    def fp(self) -> np.ndarray:
        """Predicted objects without a match."""
        return self.n_pred - self.tp

    @property
    def fn(self) -> np.ndarray:
        """True objects without a match."""
        return self.n_true - self.tp

    @property
    def ap(self) -> np.ndarray:
        """AP(t) = TP / (TP + FP + FN)."""
        return self._ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def f1(self) -> np.ndarray:
        """F1 = 2 TP / (2 TP + FP + FN)."""
        return self._ratio(2 * self.tp, self.n_true + self.n_pred)

    @property
    def precision(self) -> np.ndarray:
        """TP / (TP + FP)."""
        return self._ratio(self.tp, self.n_pred)

    @property
    def recall(self) -> np.ndarray:
        """TP / (TP + FN)."""
        return self._ratio(self.tp, self.n_true)

    @property
    def matched_iou(self) -> np.ndarray:
        """Mean IoU of the matched pairs (segmentation quality)."""
        return self._ratio(self.iou_sum, self.tp)

    @property
    def pq(self) -> np.ndarray:
        """Panoptic quality: sum of matched IoU / (TP + FP / 2 + FN / 2)."""
        return self._ratio(2 * self.iou_sum, self.n_true + self.n_pred)

    @property
    def seg(self) -> float:
        """SEG of the Cell Tracking Challenge: mean over true objects."""
        return float(self._ratio(self.seg_sum, self.n_true))

    def row(self) -> dict[str, float]:
        """Return the scores as one table row.

        Returns
        -------
        dict
            ``n_true n_pred``, then ap, f1, precision and recall at those of `REPORTED` that
            are among the thresholds (``ap_50`` …; at all thresholds if none is), ``seg``,
            ``pq`` and ``matched_iou`` at the lowest threshold, ``merges`` and ``splits``.
        """
        shown = [t for t in REPORTED if t in self.thresholds] or self.thresholds
        at = {f"{100 * t:g}": self.thresholds.index(t) for t in shown}
        row = {"n_true": self.n_true, "n_pred": self.n_pred}
        for score in ("ap", "f1", "precision", "recall"):
            values = getattr(self, score)
            row |= {f"{score}_{percent}": float(values[k]) for percent, k in at.items()}
        lowest = int(np.argmin(self.thresholds))
        row |= {"seg": self.seg, "pq": float(self.pq[lowest])}
        row |= {"matched_iou": float(self.matched_iou[lowest])}
        return row | {"merges": self.merges, "splits": self.splits}

    def _ratio(self, numerator, denominator) -> np.ndarray:
        numerator, denominator = np.broadcast_arrays(numerator, denominator)
        undefined = float(self.n_true == 0 and self.n_pred == 0)
        out = np.full(numerator.shape, undefined)
        return np.divide(numerator, denominator, out=out, where=denominator != 0)

    def __add__(self, other: InstanceScores) -> InstanceScores:
        """Add the counts of two images scored at the same thresholds."""
        if self.thresholds != other.thresholds:
            raise ValueError(
                f"scores at thresholds {self.thresholds} and {other.thresholds} cannot be "
                "added: score all images at the same thresholds"
            )
        counts = [f.name for f in fields(self) if f.name != "thresholds"]
        sums = {name: getattr(self, name) + getattr(other, name) for name in counts}
        return InstanceScores(self.thresholds, **sums)


class ObjectMatches(NamedTuple):
    """What became of each object; two tables made by `match_objects`.

    Attributes
    ----------
    true, pred : DataFrame
        One row an object: ``label``, ``area`` (pixels), ``partner`` (the matched label of
        the other image, 0 if none), ``iou`` (with the partner, 0 if none) and ``kind``:
        true objects are ``matched``, ``missed``, ``merged`` or ``split``, predicted ones
        ``matched``, ``false``, ``merged`` or ``split``.
    """

    true: pd.DataFrame
    pred: pd.DataFrame


def score_instances(
    labels_true: np.ndarray,
    labels_pred: np.ndarray,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
) -> InstanceScores:
    """Score one predicted label image, 2D or 3D.

    Parameters
    ----------
    labels_true, labels_pred : ndarray of int, YX or ZYX
        Label images of equal shape, 0 is background. Ids may skip numbers and be as large
        as 2**32 - 1. All pixels of one id are one object, also in several pieces.
    thresholds : sequence of float
        IoU thresholds in (0, 1].

    Returns
    -------
    InstanceScores
        Counts and ratios at each threshold.

    Raises
    ------
    ValueError
        If shapes differ, a label image is not of integers or has negative ids, or a
        threshold is out of range.

    Notes
    -----
    A pair matches when IoU >= t, as in ``stardist.matching``; VoidSeg and Kaggle ask for
    IoU > t, which differs only where the IoU is exactly t. Above 0.5 an object has at most
    one possible partner; at 0.5 and below the pairs are chosen so that most objects match.

    Examples
    --------
    >>> truth = np.array([[1, 1, 1, 1, 0, 2, 2]])
    >>> score_instances(truth, np.array([[5, 5, 0, 0, 0, 9, 9]]), thresholds=[0.5, 0.55]).tp
    array([2, 1])
    """
    thresholds = _check_thresholds(thresholds)
    table = count_overlap(labels_true, labels_pred)
    matches = [table.iou[assign_pairs(table, t)] for t in thresholds]
    joins, cuts = find_merges(table), find_splits(table)
    return InstanceScores(
        thresholds=thresholds,
        tp=np.array([iou.size for iou in matches]),
        iou_sum=np.array([iou.sum() for iou in matches]),
        # a predicted object counts for SEG when it covers more than half of the true one
        seg_sum=float(table.iou[2 * table.shared > table.area_true[table.i]].sum()),
        n_true=table.ids_true.size,
        n_pred=table.ids_pred.size,
        merges=np.unique(table.j[joins]).size,
        splits=np.unique(table.i[cuts]).size,
    )


def match_objects(
    labels_true: np.ndarray, labels_pred: np.ndarray, *, iou: float = 0.5
) -> ObjectMatches:
    """Say of every object whether it was matched, missed, false, merged or split.

    Parameters
    ----------
    labels_true, labels_pred : ndarray of int, YX or ZYX
        Label images of equal shape, 0 is background.
    iou : float
        A pair matches when its IoU is at least this.

    Returns
    -------
    ObjectMatches
        Tables ``true`` and ``pred``, one row an object in order of its label.

    Raises
    ------
    ValueError
        As `score_instances`.

    Notes
    -----
    *Merge*: a predicted object in which at least two true objects lie with more than half
    of their own area each, all but the largest of them filling at least `MIN_SHARE` of it.
    *Split*: the same with the two sides exchanged. An object has one kind; ``merged`` and
    ``split`` (merged first) come before ``matched``, so ``partner`` may be set for them.
    """
    (iou,) = _check_thresholds([iou])
    table = count_overlap(labels_true, labels_pred)
    pairs = assign_pairs(table, iou)
    joins, cuts = find_merges(table), find_splits(table)
    true = _describe(table.ids_true, table.area_true, "missed")
    pred = _describe(table.ids_pred, table.area_pred, "false")
    sides = ((true, table.i, table.ids_pred[table.j]), (pred, table.j, table.ids_true[table.i]))
    for frame, rows, partners in sides:
        frame.loc[rows[pairs], "partner"] = partners[pairs]
        frame.loc[rows[pairs], "iou"] = table.iou[pairs]
        frame.loc[rows[pairs], "kind"] = "matched"
        frame.loc[rows[cuts], "kind"] = "split"
        frame.loc[rows[joins], "kind"] = "merged"
    return ObjectMatches(true, pred)


def _describe(ids: np.ndarray, area: np.ndarray, kind: str) -> pd.DataFrame:
    frame = pd.DataFrame({"label": ids, "area": area})
    return frame.assign(partner=np.zeros_like(ids), iou=0.0, kind=kind)


def _check_thresholds(thresholds: Sequence[float]) -> tuple[float, ...]:
    values = tuple(float(t) for t in thresholds)
    if not values or not all(0 < t <= 1 for t in values):
        raise ValueError(
            f"IoU thresholds must be above 0 and at most 1, got {values}: "
            "give fractions such as 0.5, not percent"
        )
    return values
