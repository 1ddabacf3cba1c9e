"""Make run folders of results that no notebook made: another tool's, or the baseline's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.images import read_image, read_labels
from helpers.instances import otsu_watershed, tune_otsu_watershed
from helpers.rescore import find_pairs, list_images, score_run, shorten
from helpers.runs import Run, open_run
from helpers.runtime import timer

__all__ = ["adopt_labels", "run_baseline"]

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
        If it has no validation images with masks, or an image is not grey.
    """
    folder = Path(data_folder)
    with timer() as tuning:
        pairs = find_pairs(folder, "val").values()
        images = [read_image(image) for image, _ in pairs]
        labels = [read_labels(mask) for _, mask in pairs]
        best = tune_otsu_watershed(images, labels)
    run = open_run(dataset, BASELINE, params=best, seed=seed, data_folder=folder)
    with timer() as prediction:
        for name, (image, _) in find_pairs(folder).items():
            run.save_labels(name, otsu_watershed(read_image(image), **best))
    _finish(run, seconds_train=tuning.seconds, seconds_predict=prediction.seconds)
    return run


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
