"""Make run folders of results that no notebook made: another tool's, or the baseline's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_download.manifest import MANIFEST, fingerprint, read_manifest
from helpers.comparison import fair_groups
from helpers.images import read_image, read_labels
from helpers.instances import otsu_watershed, tune_otsu_watershed
from helpers.rescore import RunScores, find_pairs, list_images, score_run, shorten
from helpers.runs import Run, open_run
from helpers.runtime import timer

__all__ = ["BASELINE", "add_baselines", "adopt_labels", "run_baseline"]

BASELINE = "otsu_watershed"


def adopt_labels(
    folder: str | Path,
    dataset: str,
    method: str,
    *,
    data_folder: str | Path,
    test_names: Sequence[str] | None = None,
    suffix: str = "",
    seed: int = 0,
) -> Run:
    """Make a run folder of label images from any other tool.

    Parameters
    ----------
    folder : path
        Label images of the test images, one file each, in any lossless format; nothing in it
        is changed.
    dataset, method : str
        Names under which the run appears.
    data_folder : path
        Images and masks, as the notebooks take them: the test images lie in ``test``.
    test_names : sequence of str, optional
        Names of the test images where ``data_folder`` has no ``test``; all, if not given.
    suffix : str
        What the tool adds to the image's name, such as ``"_cp_masks"`` (Cellpose).
    seed : int
        Seed of the tool's training, if it had one.

    Returns
    -------
    Run
        A finished run; its training and prediction times are 0, for they are not known.

    Raises
    ------
    FileNotFoundError
        If a folder does not exist.
    ValueError
        If a test image has no label image, or one has another shape than its truth.

    Notes
    -----
    An earlier run of the same name is moved aside, as by `helpers.runs.open_run`.
    """
    truth = find_pairs(Path(data_folder), names=test_names)
    labels = _read_fitting_labels(Path(folder), truth, suffix)
    params = {"adopted_from": Path(folder).name, "suffix": suffix}
    options = {"data_folder": data_folder, "test_names": test_names}
    run = open_run(dataset, method, params=params, seed=seed, **options)
    for name, one in labels.items():
        run.save_labels(name, one)
    _finish(run, seconds_train=0, seconds_predict=0)
    return run


def run_baseline(dataset: str, *, data_folder: str | Path, seed: int = 0) -> Run:
    """Make the run of the classical baseline, Otsu's threshold and a watershed.

    Parameters
    ----------
    dataset : str
        Name under which the run appears; the method is ``otsu_watershed``.
    data_folder : path
        Grey images with instance labels in ``val`` and ``test``.
    seed : int
        Noted in the run; the method itself is not random.

    Returns
    -------
    Run
        A finished run. Its parameters are chosen on all validation images, by
        `helpers.instances.tune_otsu_watershed`; the time that takes counts as training.

    Raises
    ------
    FileNotFoundError
        If the data folder does not exist.
    ValueError
        If it has no ``val`` or ``test``, or an image is not grey.
    """
    folder = Path(data_folder)
    if missing := [split for split in ("val", "test") if not (folder / split).is_dir()]:
        raise ValueError(
            f"{folder.name} has no folder {' and no '.join(missing)}: the baseline is tuned on "
            "validation images and scored on test images, so split the data first"
        )
    with timer() as tuning:
        pairs = find_pairs(folder, "val").values()
        images = [read_image(image) for image, _ in pairs]
        labels = [read_labels(mask) for _, mask in pairs]
        best = tune_otsu_watershed(images, labels, spacing=_spacing(folder))
    run = open_run(dataset, BASELINE, params=best, seed=seed, data_folder=folder)
    with timer() as prediction:
        for name, (image, _) in find_pairs(folder).items():
            run.save_labels(name, otsu_watershed(read_image(image), **best))
    _finish(run, seconds_train=tuning.seconds, seconds_predict=prediction.seconds)
    return run


def add_baselines(results: Sequence[RunScores]) -> list[Run]:
    """Make the baseline run wherever label images would have nothing to be compared with.

    Parameters
    ----------
    results : sequence of RunScores
        Scored runs.

    Returns
    -------
    list of Run
        New runs, one for each group of `helpers.comparison.fair_groups` that holds label
        images, no baseline, and the whole test set of data that did not change since. A line
        is printed for each, also where the data do not allow one (colour images, no ``val``).
    """
    made = []
    for name, group in fair_groups(results).items():
        run, has_one = group[0].run, BASELINE in [result.run.method for result in group]
        if group[0].kind != "labels" or has_one or not _covers_test_set(group[0]):
            continue
        try:
            made.append(run_baseline(run.dataset, data_folder=run.data_folder))
            print(f"{name}: made the run {BASELINE}, tuned on the validation images")
        except ValueError as error:
            print(f"{name}: no baseline: {error}")
    return made


def _covers_test_set(result: RunScores) -> bool:
    folder = result.run.data_folder
    same_names = set(result.scores.names) == set(find_pairs(folder))
    return same_names and fingerprint(folder) == result.fingerprint


def _spacing(folder: Path) -> list[float] | None:
    """Return the voxel size where it matters: when its axes differ."""
    facts = read_manifest(folder) if (folder / MANIFEST).is_file() else {}
    size = facts.get("pixel_size_um")
    return size if isinstance(size, list) and len(set(size)) > 1 else None


def _read_fitting_labels(folder: Path, truth: dict, suffix: str) -> dict[str, np.ndarray]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: give the folder of label images")
    files = list_images(folder)
    if missing := [name for name in truth if f"{name}{suffix}" not in files]:
        raise ValueError(
            f"{folder.name} has no label image {missing[0]}{suffix} ({len(missing)} of "
            f"{len(truth)} are missing); it holds {shorten(files) or 'no image'}. Give what the "
            "tool adds to the names as suffix"
        )
    labels = {name: read_labels(files[f"{name}{suffix}"]) for name in truth}
    for name, (_, mask) in truth.items():
        if labels[name].shape != (shape := read_labels(mask).shape):
            raise ValueError(
                f"{files[name + suffix].name} has shape {labels[name].shape}, its truth {shape}: "
                "export the labels at the size of the image"
            )
    return labels


def _finish(run: Run, **seconds: float) -> None:
    scores = score_run(run).scores
    run.save_metrics(scores.per_image)
    summary = scores.summary()
    baseline = {"method": BASELINE, **summary} if run.method == BASELINE else {}
    run.finish(scores=summary, baseline=baseline, n_test=len(scores.names), **seconds)
