"""Two ground truths of one test set, such as manual and semi-automatic labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from helpers.images import read_labels
from helpers.layouts import read_pair_labels
from helpers.metrics import DatasetScores, score_dataset
from helpers.rescore import RunScores, files_by_name, run_pairs
from helpers.runs import Run

__all__ = ["score_by_both"]


def score_by_both(
    group: Sequence[RunScores], *, second: str = "masks_manual"
) -> dict[str, DatasetScores]:
    """Score the runs of a group by a second truth, and the two truths by each other.

    Parameters
    ----------
    group : sequence of RunScores
        Runs of label images on the same test images.
    second : str
        Folder of the second label images, beside that of the first, with equal names.

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
        scores[f"{result.run.method} ({second})"] = score_dataset(other, found, names=names)
    return scores


def _read_both(run: Run, names: Sequence[str], second: str) -> tuple[list, list] | None:
    pairs = run_pairs(run)
    mask = pairs[names[0]].mask
    files = files_by_name(mask.parent.parent / second) if isinstance(mask, Path) else {}
    if any(name not in files for name in names):
        return None
    first = [read_pair_labels(pairs[name]) for name in names]
    return first, [read_labels(files[name]) for name in names]
