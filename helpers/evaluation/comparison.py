"""Which runs may be compared, and how sure a difference between two of them is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers.evaluation.rescore import RunScores
from helpers.metrics.datasets import bootstrap_interval

__all__ = [
    "MIN_IMAGES",
    "Difference",
    "compare_with",
    "explain_unfair",
    "fair_groups",
    "fold_seeds",
    "image_table",
    "list_unfair",
    "paired_difference",
    "score_interval",
]

MIN_IMAGES = 20
"""Below this number of test images a bootstrap interval is too narrow to rely on."""


class Difference(NamedTuple):
    """Score of one method minus that of another on the same images.

    Attributes
    ----------
    n : int
        Number of images.
    mean : float
        Mean difference.
    low, high : float
        95 % bootstrap interval of the mean over images; NaN for a single image.
    n_better, n_worse : int
        Images on which the first method scores higher, and lower.
    """

    n: int
    mean: float
    low: float
    high: float
    n_better: int
    n_worse: int

    @property
    def verdict(self) -> str:
        """What the difference allows to say, in plain words."""
        if self.n < 2:
            return "one image: no spread known"
        clear = "better" if self.low > 0 else "worse" if self.high < 0 else "not decided"
        return clear if self.n >= MIN_IMAGES else f"{clear}, but few images"


def score_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean over images.

    Parameters
    ----------
    values : sequence of float
        One score an image.

    Returns
    -------
    low, high : float
        As `helpers.metrics.bootstrap_interval`; NaN for a single image, which has no spread.
    """
    return bootstrap_interval(values) if len(values) > 1 else (np.nan, np.nan)


def explain_unfair(first: RunScores, second: RunScores) -> str | None:
    """Say why two runs must not be ranked against each other.

    Parameters
    ----------
    first, second : RunScores
        Scored runs.

    Returns
    -------
    str or None
        The reason, or None if data, test images and kind of prediction are the same.
    """
    if first.kind != second.kind:
        return f"one is scored on its {first.kind}, the other on its {second.kind}"
    if first.fingerprint != second.fingerprint:
        return "the files of their data folders differ (other images, labels or split)"
    one, two = set(first.scores.names), set(second.scores.names)
    if one != two:
        return f"their test images differ: {len(one)} and {len(two)}, {len(one & two)} in common"
    return None


def fair_groups(results: Sequence[RunScores]) -> dict[str, list[RunScores]]:
    """Sort runs into groups within which every comparison is fair.

    Parameters
    ----------
    results : sequence of RunScores
        Scored runs.

    Returns
    -------
    dict of str to list of RunScores
        Runs by group, best first. A group has the name of its data set; where one data set
        has several, the larger groups come first and the others are numbered from (2).
    """
    members: dict[tuple[str, str], list[RunScores]] = {}
    for result in sorted(results, key=lambda r: -r.values().mean()):
        members.setdefault((result.run.dataset, result.key), []).append(result)
    groups: dict[str, list[RunScores]] = {}
    for group in sorted(members.values(), key=_place):
        dataset = group[0].run.dataset
        number = 1 + sum(other[0].run.dataset == dataset for other in groups.values())
        groups[dataset if number == 1 else f"{dataset} ({number})"] = group
    return groups


def _place(group: list[RunScores]) -> tuple:
    """Order groups by data set, then the largest first."""
    first = group[0]
    return first.run.dataset, -len(group), first.kind, -len(first.scores.names), first.key


def list_unfair(groups: dict[str, list[RunScores]]) -> pd.DataFrame:
    """List the groups of one data set that must not be compared, with the reason.

    Parameters
    ----------
    groups : dict
        From `fair_groups`.

    Returns
    -------
    DataFrame
        Columns ``group other reason``; empty if all runs of each data set compare. Data sets
        of different names never compare and are not listed.
    """
    rows = [
        (name, other, explain_unfair(groups[name][0], groups[other][0]))
        for name, other in combinations(groups, 2)
        if groups[name][0].run.dataset == groups[other][0].run.dataset
    ]
    return pd.DataFrame(rows, columns=["group", "other", "reason"])


def paired_difference(
    first: RunScores, second: RunScores, *, score: str | None = None
) -> Difference:
    """Compare two runs image by image.

    Parameters
    ----------
    first, second : RunScores
        Scored runs of one fair group.
    score : str, optional
        Column of ``scores.per_image``; by default the one that ranks the runs.

    Returns
    -------
    Difference
        First minus second.

    Raises
    ------
    ValueError
        If the comparison is not fair; the message has the reason.

    Notes
    -----
    Images differ in difficulty, which both methods share. Subtracting image by image removes
    it, so two overlapping intervals of single methods can still hide a clear difference. The
    interval does not hold the spread over training seeds.
    """
    if reason := explain_unfair(first, second):
        who = " and ".join(f"{r.title} (n = {len(r.scores.names)})" for r in (first, second))
        raise ValueError(
            f"{who} cannot be ranked together: {reason}. Run both on the same data folder and "
            "test images"
        )
    difference = (first.values(score) - second.values(score)).to_numpy()
    low, high = score_interval(difference)
    better, worse = (int(np.count_nonzero(sign * difference > 0)) for sign in (1, -1))
    return Difference(difference.size, float(difference.mean()), low, high, better, worse)


def compare_with(groups: dict[str, list[RunScores]], method: str = "") -> pd.DataFrame:
    """Compare one run of each group with every other one, image by image.

    Parameters
    ----------
    groups : dict
        From `fair_groups`.
    method : str
        Name of the run to compare with; the best one of a group that has no such run.

    Returns
    -------
    DataFrame
        One row a pair: ``group method other score n difference low high better_on worse_on
        verdict``; the difference is that of ``method`` minus ``other``.
    """
    rows = []
    for name, group in groups.items():
        chosen = next((r for r in group if r.run.method == method), group[0])
        for other in (r for r in group if r is not chosen):
            pair = paired_difference(chosen, other)
            who = (chosen.run.method, other.run.method, chosen.ranked_by)
            rows.append((name, *who, *pair, pair.verdict))
    columns = "group method other score n difference low high better_on worse_on verdict"
    return pd.DataFrame(rows, columns=columns.split())


def image_table(group: Sequence[RunScores], *, score: str | None = None) -> pd.DataFrame:
    """Put one score of all methods side by side, the hardest image first.

    Parameters
    ----------
    group : sequence of RunScores
        Runs of one fair group.
    score : str, optional
        Column of ``scores.per_image``; by default the one that ranks the runs.

    Returns
    -------
    DataFrame
        Index: name of the image; one column a method. Sorted by the best score that any
        method reaches, so what comes first is hard for all of them.
    """
    table = pd.DataFrame({result.run.method: result.values(score) for result in group})
    return table.loc[table.max(axis=1).sort_values(kind="stable").index]


def fold_seeds(results: Sequence[RunScores]) -> tuple[list[RunScores], pd.DataFrame]:
    """Let one run stand for all that differ by their seed alone.

    Parameters
    ----------
    results : sequence of RunScores
        Scored runs. Runs of one data set and the same test images whose names are equal up to
        ``_seedN`` at the end belong together.

    Returns
    -------
    chosen : list of RunScores
        The median run (the better of two in the middle) of each set, and all other runs.
    spread : DataFrame
        ``dataset method n_seeds seed_mean seed_sd``: one row for each set of several runs, under
        the name of the chosen one; of the score that ranks.
    """
    sets: dict[tuple, list[RunScores]] = {}
    for result in results:
        stem = re.sub(r"_seed\d+$", "", result.run.method)
        sets.setdefault((result.run.dataset, result.key, stem), []).append(result)
    chosen, rows = [], []
    for members in sets.values():
        members.sort(key=lambda r: -r.values().mean())
        middle = members[(len(members) - 1) // 2]
        chosen.append(middle)
        if len(members) > 1:
            means = [member.values().mean() for member in members]
            spread = (len(members), float(np.mean(means)), float(np.std(means, ddof=1)))
            rows.append((middle.run.dataset, middle.run.method, *spread))
    columns = "dataset method n_seeds seed_mean seed_sd"
    return chosen, pd.DataFrame(rows, columns=columns.split())
