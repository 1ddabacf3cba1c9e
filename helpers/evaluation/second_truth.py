"""Two ground truths of one test set, such as manual and semi-automatic labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.evaluation.rescore import RunScores, files_by_name, run_pairs
from helpers.images import read_labels
from helpers.layouts import read_pair_labels
from helpers.metrics.datasets import DatasetScores, score_dataset
from helpers.metrics.objects import match_objects
from helpers.runs import Run

__all__ = ["correct_proposal", "score_by_both"]


def score_by_both(
    group: Sequence[RunScores], *, second: str | Path = "masks_manual"
) -> dict[str, DatasetScores]:
    """Score the runs of a group by a second truth, and the two truths by each other.

    Parameters
    ----------
    group : sequence of RunScores
        Runs of label images on the same test images.
    second : str or path
        Folder of the second label images, with names equal to those of the first: its name
        beside that of the first, or an absolute path.

    Returns
    -------
    dict of str to DatasetScores
        By method: ``"METHOD"`` and ``"METHOD (SECOND)"``; and ``"truth"``, the first truth
        scored as if it were a prediction of the second: no method can be expected to agree
        better with a truth than two annotators do with each other. Empty where the data set
        has no second truth for all test images.

    Raises
    ------
    ValueError
        If a run is of masks, or label images do not fit.
    """
    if masks := [result.title for result in group if result.kind != "labels"]:
        raise ValueError(f"{', '.join(masks)}: masks have no objects, give runs of label images")
    if not group:
        return {}
    names = list(group[0].scores.names)
    both = _read_both(group[0].run, names, second)
    if both is None:
        return {}
    first, other = both
    scores = {"truth": score_dataset(other, first, names=names)}
    for result in group:
        files = files_by_name(result.run.folder / "labels")
        found = [read_labels(files[name]) for name in names]
        scores[result.run.method] = score_dataset(first, found, names=names)
        scores[f"{result.run.method} ({Path(second).name})"] = score_dataset(
            other, found, names=names
        )
    return scores


def correct_proposal(
    labels_true: np.ndarray, proposal: np.ndarray, *, iou: float = 0.7
) -> np.ndarray:
    """Return labels as a semi-automatic annotation gives them: a proposal, mended where wrong.

    Parameters
    ----------
    labels_true : ndarray of int, YX
        What an annotator would draw by hand.
    proposal : ndarray of int, YX
        What a program proposed.
    iou : float
        Proposed objects that overlap a true one by at least this IoU are left as they are.

    Returns
    -------
    ndarray of int32, YX
        Left objects with the outlines of the proposal, all other true ones as drawn by hand
        (less what the left ones have taken), without the false ones; ids of the true objects.

    Examples
    --------
    >>> true, found = np.array([[1, 1, 1, 1, 0, 2]]), np.array([[5, 5, 5, 0, 0, 0]])
    >>> correct_proposal(true, found).tolist()
    [[1, 1, 1, 0, 0, 2]]
    """
    labels_true, proposal = np.asarray(labels_true), np.asarray(proposal)
    table = match_objects(labels_true, proposal, iou=iou).true
    labels = np.zeros(labels_true.shape, np.int32)
    for label, partner in zip(table["label"], table["partner"], strict=True):
        if partner:
            labels[proposal == partner] = label
    drawn = np.isin(labels_true, table["label"][table["partner"] == 0]) & (labels == 0)
    labels[drawn] = labels_true[drawn]
    return labels


def _read_both(run: Run, names: Sequence[str], second: str | Path) -> tuple[list, list] | None:
    pairs = run_pairs(run)
    mask = pairs[names[0]].mask
    files = files_by_name(mask.parent.parent / second) if isinstance(mask, Path) else {}
    if any(name not in files for name in names):
        return None
    first = [read_pair_labels(pairs[name]) for name in names]
    return first, [read_labels(files[name]) for name in names]
