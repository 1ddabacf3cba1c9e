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
from helpers.images import IMAGE_SUFFIXES, file_stem, read_image, read_labels
from helpers.metrics import DatasetScores, score_dataset, score_mask_dataset
from helpers.runs import Run

__all__ = [
    "Case",
    "RunScores",
    "check_run",
    "find_pairs",
    "list_images",
    "run_truth",
    "score_run",
    "score_runs",
    "shorten",
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
        image, true = run_truth(self.run)[name]
        pred = self.run.folder / self.kind / f"{name}.tif"
        return Case(read_image(image), read_labels(true), read_labels(pred))


def find_pairs(
    data_folder: Path, split: str = "test", *, names: Sequence[str] | None = None
) -> dict[str, tuple[Path, Path]]:
    """Find the files of one split of a data folder.

    Parameters
    ----------
    data_folder : Path
        Holds ``SPLIT/images`` and ``SPLIT/masks``, or ``images`` and ``masks`` alone.
    split : {"train", "val", "test"}
        Which split; a folder without ``test`` is taken as it is.
    names : sequence of str, optional
        Names of the images, where a seed chose them; all that have a mask, if not given.

    Returns
    -------
    dict of str to (Path, Path)
        Image file and mask file by name.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If there is no pair, or a named image lacks its file or mask.
    """
    if not data_folder.is_dir():
        raise FileNotFoundError(
            f"the data folder {data_folder.name} is gone: put it back, or run the notebook again"
        )
    place = data_folder / split if (data_folder / "test").is_dir() else data_folder
    images, masks = list_images(place / "images"), list_images(place / "masks")
    names = list(masks) if names is None else [name.removesuffix(".tif") for name in names]
    missing = [name for name in names if name not in images or name not in masks]
    if missing or not names:
        raise ValueError(
            f"{data_folder.name} has no image and mask of {shorten(missing) or 'any name'} for "
            f"{split}: they must lie in {split}/images and {split}/masks, or in images and masks"
        )
    return {name: (images[name], masks[name]) for name in names}


def run_truth(run: Run) -> dict[str, tuple[Path, Path]]:
    """Find the files of the test images of a run; see `find_pairs`.

    Raises
    ------
    ValueError, FileNotFoundError
        As `find_pairs`, and if ``params.json`` names no data folder.
    """
    if run.data_folder is None:
        raise ValueError(
            "params.json names no data folder, so there is no ground truth: give data_folder "
            "to open_run in its notebook and run that again"
        )
    return find_pairs(run.data_folder, names=run.params["data"]["test_names"])


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
    truth = run_truth(run)
    kind = next((k for k in SCORERS if list_images(run.folder / k)), None)
    if kind is None:
        raise ValueError("it has no images in labels or mask, so there is nothing to score")
    predictions = list_images(run.folder / kind)
    names = [name for name in truth if name in predictions]
    if not names:
        raise ValueError(f"no file in {kind} has the name of a test image ({shorten(truth)})")
    true = [read_labels(truth[name][1]) for name in names]
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
    n_scored, n_test = len(result.scores.names), len(run_truth(result.run))
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


def list_images(folder: Path) -> dict[str, Path]:
    """Return the image files of a folder by name, sorted; none if there is no folder."""
    files = folder.iterdir() if folder.is_dir() else ()
    visible = (
        p for p in files if not p.name.startswith(".") and p.suffix.lower() in IMAGE_SUFFIXES
    )
    return {file_stem(path): path for path in sorted(visible)}


def shorten(names: Iterable[str]) -> str:
    """Return the first names as text, and the number of the others."""
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
