"""What went wrong in a data set, in percent of its true objects: merged, split, false, missed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from helpers.metrics.datasets import DatasetScores

__all__ = ["ERROR_KINDS", "error_percent"]

ERROR_KINDS = ("missed", "false", "merged", "split")
"""Columns of `error_percent`, in the order of the published bars."""


def error_percent(scores: Mapping[str, DatasetScores], *, iou: float = 0.7) -> pd.DataFrame:
    """Count the errors of several methods in percent of the true objects.

    Parameters
    ----------
    scores : mapping of str to DatasetScores
        Name of the method and its :func:`helpers.metrics.score_dataset`.
    iou : float
        Missed and false objects are those without a match at this IoU; merges and splits do
        not depend on it.

    Returns
    -------
    DataFrame
        One row a method: ``missed``, ``false``, ``merged``, ``split`` in percent of ``n_true``
        objects, all images pooled. Without a true object the percentages are NaN.

    Raises
    ------
    ValueError
        If a method was not scored at `iou`.

    Notes
    -----
    ``merged`` counts predicted objects that join true ones, ``split`` true objects cut into
    several (:func:`helpers.metrics.match_objects` has the rule). The four overlap: a merge
    also leaves at least one true object without a match. Percentages as in Zaki et al. 2020,
    whose counting rule is not published.

    Examples
    --------
    >>> from helpers.metrics import score_dataset
    >>> two, joined = np.array([[1, 1, 1, 2, 2, 2]]), np.array([[1, 1, 1, 1, 1, 1]])
    >>> error_percent({"joined": score_dataset([two], [joined])}).loc["joined"].tolist()
    [2.0, 100.0, 50.0, 50.0, 0.0]
    """
    return pd.DataFrame({name: _percent(name, one, iou) for name, one in scores.items()}).T


def _percent(name: str, scores: DatasetScores, iou: float) -> dict[str, float]:
    thresholds = np.asarray(scores.scores[0].thresholds)
    at = np.flatnonzero(np.isclose(thresholds, iou))
    if not at.size:
        raise ValueError(f"{name} was scored at IoU {thresholds.tolist()}, not {iou}: give these")
    counts = {
        "missed": sum(int(image.fn[at[0]]) for image in scores.scores),
        "false": sum(int(image.fp[at[0]]) for image in scores.scores),
        "merged": sum(image.merges for image in scores.scores),
        "split": sum(image.splits for image in scores.scores),
    }
    n_true = sum(image.n_true for image in scores.scores)
    return {"n_true": n_true} | {
        kind: 100 * count / n_true if n_true else np.nan for kind, count in counts.items()
    }
