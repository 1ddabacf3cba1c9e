"""Score the predictions of run folders by the same functions, whatever method made them.

Predictions are read from ``labels/`` or ``mask/`` of the run folder, the ground truth from the
data folder that ``params.json`` names. Figures in ``summary.json`` are only checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_download import fingerprint
from helpers.images import file_stem, read_labels
from helpers.layouts import Pair, find_pairs, list_images, read_pair_image, read_pair_labels
from helpers.metrics.datasets import DatasetScores, score_dataset, score_mask_dataset
from helpers.runs import Run

__all__ = [
    "Case",
    "RunScores",
    "check_run",
    "files_by_name",
    "find_test_pairs",
    "run_pairs",
    "score_run",
    "score_runs",
]

SCORERS = {"labels": score_dataset, "mask": score_mask_dataset}
RANKED_BY = {"labels": "ap_50", "mask": "iou"}


class Case(NamedTuple):
    """One test image with its truth and its prediction."""

    image: np.ndarray
    true: np.ndarray
    pred: np.ndarray


@dataclass(frozen=True, eq=False)
class RunScores:
    """A run, and the scores that its predictions earn.

    Attributes
    ----------
    run : Run
        The run folder.
    kind : {"labels", "mask"}
        Whether objects or foreground pixels are scored.
    scores : DatasetScores
        Scores of all test images that have a prediction.
    """

    run: Run
    kind: str
    scores: DatasetScores

    @property
    def title(self) -> str:
        """``DATASET/METHOD``."""
        return f"{self.run.dataset}/{self.run.method}"

    @property
    def ranked_by(self) -> str:
        """The score that orders the runs: ``ap_50`` of objects, ``iou`` of masks."""
        return RANKED_BY[self.kind]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the data folder when the run was made."""
        return self.run.params["data"]["fingerprint"]

    @property
    def key(self) -> str:
        """Eight digits that are equal where data, test images and kind are: the fair group."""
        names = sorted(self.scores.names)
        return sha256("\n".join([self.fingerprint, self.kind, *names]).encode()).hexdigest()[:8]

    def values(self, score: str | None = None) -> pd.Series:
        """Return one score of each image (by default the one that ranks), indexed by name."""
        return self.scores.per_image.set_index("name")[score or self.ranked_by]

    def select(self, names: Sequence[str]) -> RunScores:
        """Return the scores of some images alone, which is another `key`: another contest."""
        kept = {n: s for n, s in zip(self.scores.names, self.scores.scores, strict=True)}
        chosen = DatasetScores(tuple(names), tuple(kept[name] for name in names))
        return replace(self, scores=chosen)

    def read_case(self, name: str) -> Case:
        """Read one test image with its truth and its prediction."""
        pair = run_pairs(self.run)[name]
        pred = files_by_name(self.run.folder / self.kind)[name]
        return Case(read_pair_image(pair)[0], read_pair_labels(pair), read_labels(pred))


def find_test_pairs(data_folder: str | Path, names: Sequence[str] | None = None) -> dict[str, Pair]:
    """Find image and mask of each test image in a data folder.

    Parameters
    ----------
    data_folder : path
        A folder in one of the layouts of `helpers.layouts.find_pairs`.
    names : sequence of str, optional
        Names of the test images, where a seed chose them; if not given, all of ``test``, or
        all of a folder without splits.

    Returns
    -------
    dict of str to Pair
        By name.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If there are no test images, or one has no mask.
    """
    folder = Path(data_folder)
    splits = find_pairs(folder).pairs
    test = splits.get("test", splits.get("all", []))
    pool = [pair for pairs in splits.values() for pair in pairs] if names is not None else []
    pairs = {pair.name: pair for pair in [*pool, *test] if pair.mask is not None}
    if missing := [name for name in names or () if name not in pairs]:
        raise ValueError(
            f"{folder.name} has no image with mask for the test images {_shorten(missing)}: put "
            "them back, or run the notebook again"
        )
    if not pairs:
        raise ValueError(
            f"{folder.name} has no test images with masks: put them into test/images and "
            "test/masks, or name the test images"
        )
    return {name: pairs[name] for name in (pairs if names is None else names)}


def run_pairs(run: Run) -> dict[str, Pair]:
    """Find image and mask of each test image of a run; see `find_test_pairs`.

    Raises
    ------
    ValueError, FileNotFoundError
        As `find_test_pairs`, and if ``params.json`` names no data folder.
    """
    if run.data_folder is None:
        raise ValueError(
            "params.json names no data folder, so there is no ground truth: give data_folder "
            "to open_run in its notebook and run that again"
        )
    return find_test_pairs(run.data_folder, run.params["data"]["test_names"])


def score_run(run: Run) -> RunScores:
    """Score the predictions of one run against the ground truth.

    Parameters
    ----------
    run : Run
        A run folder with ``params.json`` and predictions.

    Returns
    -------
    RunScores
        Scores of those test images that have a prediction; see `check_run`.

    Raises
    ------
    ValueError
        If there is nothing to score, or a prediction does not fit its truth.
    FileNotFoundError
        If the data folder is gone.

    Notes
    -----
    Label images go before masks where a run has both. The figures in ``summary.json`` are
    not used.
    """
    pairs = run_pairs(run)
    kind = next((k for k in SCORERS if files_by_name(run.folder / k)), None)
    if kind is None:
        raise ValueError("it has no images in labels or mask, so there is nothing to score")
    predictions = files_by_name(run.folder / kind)
    names = [name for name in pairs if name in predictions]
    if not names:
        raise ValueError(f"no file in {kind} has the name of a test image ({_shorten(pairs)})")
    true = [read_pair_labels(pairs[name]) for name in names]
    pred = [read_labels(predictions[name]) for name in names]
    return RunScores(run, kind, SCORERS[kind](true, pred, names=names))


def check_run(result: RunScores, *, tolerance: float = 1e-3) -> list[str]:
    """List what the reader of a run's scores must know.

    Parameters
    ----------
    result : RunScores
        The scored run.
    tolerance : float
        Largest difference to a figure of ``summary.json`` that counts as rounding.

    Returns
    -------
    list of str
        One sentence for each figure that ``summary.json`` states otherwise than the
        predictions earn, and one if test images have no prediction; empty if all is well.
        PSNR and SSIM are not checked.
    """
    summary, earned = result.run.summary, result.scores.summary()
    stated = {name: value for name, value in summary["scores"].items() if value is not None}
    notes = [
        f"summary.json states {name} {stated[name]:.3f}, its {result.kind} earn {earned[name]:.3f}"
        for name in earned
        if name in stated and abs(stated[name] - earned[name]) > tolerance
    ]
    n_scored, n_test = len(result.scores.names), len(run_pairs(result.run))
    if n_scored < n_test:
        notes += [f"{n_test - n_scored} of {n_test} test images have no prediction"]
    if summary["n_test"] != n_scored:
        notes += [f"summary.json states {summary['n_test']} test images, {n_scored} are scored"]
    return notes


def score_runs(runs: Iterable[Run]) -> list[RunScores]:
    """Score all runs, and print what the reader must know about any of them.

    Parameters
    ----------
    runs : iterable of Run
        From `helpers.runs.find_runs`.

    Returns
    -------
    list of RunScores
        In the same order; runs that cannot be scored are left out, with the reason printed.

    Raises
    ------
    ValueError
        If there are runs, but none can be scored.
    """
    results, runs, fingerprint_once = [], list(runs), cache(fingerprint)
    for run in runs:
        title = f"{run.dataset}/{run.method}"
        try:
            result = score_run(run)
        except (ValueError, OSError) as error:
            print(f"left out {title}: {error}")
            continue
        notes = check_run(result)
        if fingerprint_once(run.data_folder) != result.fingerprint:
            notes += ["its data folder was changed since; it is scored on the present masks"]
        for note in notes:
            print(f"note on {title}: {note}")
        results.append(result)
    if runs and not results:
        raise ValueError(f"none of {len(runs)} runs can be scored: mend what is printed above")
    return results


def files_by_name(folder: Path) -> dict[str, Path]:
    """Return the image files of a folder by name; none if there is no folder."""
    return {file_stem(path): path for path in list_images(folder)} if folder.is_dir() else {}


def _shorten(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
