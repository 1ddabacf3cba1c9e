"""Make run folders of results that no notebook made: another tool's, or the baseline's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_download import fingerprint
from helpers.datasets import common_pixel_size, manifest_pixel_size, split_pairs
from helpers.evaluation.comparison import fair_groups
from helpers.evaluation.rescore import RunScores, files_by_name, find_test_pairs, score_run
from helpers.images import read_labels
from helpers.instances import otsu_watershed, tune_otsu_watershed
from helpers.layouts import Pair, find_pairs, read_pair_image, read_pair_labels
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
        Images and masks in any layout that the notebooks take.
    test_names : sequence of str, optional
        Names of the test images, where the folder has no ``test``; all, if not given.
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
    pairs = find_test_pairs(data_folder, test_names)
    labels = _read_fitting_labels(Path(folder), pairs, suffix)
    params = {"adopted_from": Path(folder).name, "suffix": suffix}
    options = {"data_folder": data_folder, "test_names": test_names}
    run = open_run(dataset, method, params=params, seed=seed, **options)
    for name, one in labels.items():
        run.save_labels(name, one)
    _finish(run, seconds_train=0, seconds_predict=0)
    return run


def run_baseline(dataset: str, *, data_folder: str | Path, seed: int = 42) -> Run:
    """Make the run of the classical baseline, Otsu's threshold and a watershed.

    Parameters
    ----------
    dataset : str
        Name under which the run appears; the method is ``otsu_watershed``.
    data_folder : path
        Grey images with instance labels, in any layout that the notebooks take.
    seed : int
        Chooses the validation and test images where the folder does not have them, as
        `helpers.datasets.load_dataset` does; the method itself is not random.

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
        If there are no validation or no test images, or an image is not grey.
    """
    pairs = _split(data_folder, seed)
    with timer() as tuning:
        images = [read_pair_image(pair)[0] for pair in pairs["val"]]
        labels = [read_pair_labels(pair) for pair in pairs["val"]]
        spacing = _uneven_voxel_size(pairs["val"], Path(data_folder))
        best = tune_otsu_watershed(images, labels, spacing=spacing)
    options = {"data_folder": data_folder, "test_names": [pair.name for pair in pairs["test"]]}
    run = open_run(dataset, BASELINE, params=best, seed=seed, **options)
    with timer() as prediction:
        for pair in pairs["test"]:
            run.save_labels(pair.name, otsu_watershed(read_pair_image(pair)[0], **best))
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
        New runs, one for each group of `helpers.evaluation.comparison.fair_groups` that holds label
        images, no baseline, and the whole test set of data that did not change since. A line
        is printed for each, also where the data do not allow one (colour images, no ``val``)
        or the baseline of other test images of that data set has its place.
    """
    made = []
    taken = {r.run.dataset for r in results if r.run.method == BASELINE and _is_current(r)}
    for name, group in fair_groups(results).items():
        run, has_one = group[0].run, BASELINE in [result.run.method for result in group]
        if group[0].kind != "labels" or has_one or not _is_current(group[0]):
            continue
        seed = run.params["seed"]
        try:
            test = {pair.name for pair in _split(run.data_folder, seed)["test"]}
            if test != set(group[0].scores.names):
                continue
            if run.dataset in taken:  # its folder would be moved aside
                raise ValueError(f"{run.dataset}/{BASELINE} is the run of other test images")
            made.append(run_baseline(run.dataset, data_folder=run.data_folder, seed=seed))
            taken.add(run.dataset)
            print(f"{name}: made the run {BASELINE}, tuned on the validation images")
        except ValueError as error:
            print(f"{name}: no baseline: {error}")
    return made


def _is_current(result: RunScores) -> bool:
    """Tell whether the data are still those of the run."""
    return fingerprint(result.run.data_folder) == result.fingerprint


def _split(data_folder: str | Path, seed: int) -> dict[str, list[Pair]]:
    return split_pairs(find_pairs(data_folder), seed=seed, require=("val", "test"))[0]


def _uneven_voxel_size(pairs: list[Pair], folder: Path) -> tuple[float, ...] | None:
    """Return the voxel size where it matters: when its axes differ."""
    size = common_pixel_size(pairs) or manifest_pixel_size(folder)
    return size if size and len(set(size)) > 1 else None


def _read_fitting_labels(
    folder: Path, pairs: dict[str, Pair], suffix: str
) -> dict[str, np.ndarray]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: give the folder of label images")
    files = files_by_name(folder)
    if missing := [name for name in pairs if f"{name}{suffix}" not in files]:
        raise ValueError(
            f"{folder.name} has no label image {missing[0]}{suffix} ({len(missing)} of "
            f"{len(pairs)} are missing); it holds {', '.join(list(files)[:3]) or 'no image'} ... "
            "Give what the tool adds to the names as suffix"
        )
    labels = {name: read_labels(files[f"{name}{suffix}"]) for name in pairs}
    for name, pair in pairs.items():
        if labels[name].shape != (shape := read_pair_labels(pair).shape):
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
