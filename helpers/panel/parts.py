"""What the panel shows, without its widgets: knobs of a saved model, results, their picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from helpers.layouts import list_images
from helpers.predict.predictors import Predictor

__all__ = ["change_settings", "draw_objects", "find_knobs", "list_predictions"]

WORDS = ("threshold", "thresh", "seed", "score", "foreground", "mask", "iou")
SIZES = {
    "min_size": 500,
    "min_area": 500,
    "min_distance": 10,
}  # the largest offered, if none is set


def find_knobs(predictor: Predictor) -> dict[str, tuple[float, float]]:
    """List the thresholds of a predictor that can be turned.

    Parameters
    ----------
    predictor : Predictor
        Of `helpers.predict.predictors.load_predictor`.

    Returns
    -------
    dict of str to (value, largest)
        Values as they were saved; ``"rule.score"`` is ``score`` inside of ``rule``. Shares go
        from 0 to 1. Empty for a denoiser.
    """
    flat = {}
    for name, value in _all_settings(predictor).items():
        inner = value if isinstance(value, Mapping) and name in ("rule", "thresholds") else None
        flat |= {f"{name}.{k}": v for k, v in inner.items()} if inner else {name: value}
    return {name: found for name, value in flat.items() if (found := _limit(name, value))}


def _all_settings(predictor: Predictor) -> dict:
    """Return the settings with those that a method keeps beside its weights."""
    settings, model = dict(predictor.settings), predictor.model
    if predictor.name == "stardist":
        settings |= {"prob_thresh": model.thresholds.prob, "nms_thresh": model.thresholds.nms}
    if predictor.name == "fpn_watershed" and model.rule is not None:
        settings["rule"] = asdict(model.rule)
    return settings


def _limit(name: str, value) -> tuple[float, float] | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        return None
    last = name.split(".")[-1]
    if last in SIZES:
        return value, float(4 * value or SIZES[last])
    is_share = 0 <= value <= 1 and any(word in last for word in WORDS)
    return (value, 1.0) if is_share else None


def change_settings(predictor: Predictor, turned: Mapping[str, float]) -> dict:
    """Return the settings that differ, as a predictor takes them.

    Parameters
    ----------
    predictor : Predictor
        The model.
    turned : mapping
        New values by the names of `find_knobs`.
    """
    changes, settings = {}, _all_settings(predictor)
    for name, value in turned.items():
        outer, _, inner = name.partition(".")
        if inner:
            value = {**changes.get(outer, settings.get(outer, {})), inner: value}
        changes[outer] = value
    return changes


def list_predictions(folder: str | Path, images: str | Path | None = None) -> dict[str, tuple]:
    """List what a run or a prediction holds.

    Parameters
    ----------
    folder : path
        A run folder, or the results of ``python -m helpers predict``.
    images : path, optional
        The images that were predicted; of a run its test images are found by themselves.

    Returns
    -------
    dict of str to (path or None, path)
        Image and result, by name.

    Raises
    ------
    FileNotFoundError
        If there are no results.
    """
    from helpers.evaluation.rescore import run_pairs
    from helpers.export.folder import find_labels
    from helpers.images import file_stem
    from helpers.runs import Run

    folder = Path(folder).expanduser().absolute()
    files = {file_stem(path): path for path in find_labels(folder)[0]}
    raw = {}
    if images is not None:
        raw = {file_stem(path): path for path in list_images(images)}
    elif (folder / "params.json").is_file():
        raw = {name: pair.image for name, pair in run_pairs(Run(folder)).items()}
    return {name: (raw.get(name), path) for name, path in files.items()}


def draw_objects(ax, image: np.ndarray | None, labels: np.ndarray, *, z: int | None = None):
    """Draw the outlines of objects over their image, with their number as title.

    Parameters
    ----------
    ax : matplotlib Axes
        Is cleared first.
    image : ndarray, YX, ZYX, or with colours last, optional
        Without it the labels are drawn on black.
    labels : ndarray, YX or ZYX
        Label image, or a denoised image (of floats), which is shown as it is.
    z : int, optional
        Plane of a stack; by default the middle one.
    """
    from helpers.viz.images import show_image
    from helpers.viz.labels import show_contours

    ax.clear()
    count = len(np.unique(labels[labels > 0]))
    title = f"{count} object{'' if count == 1 else 's'}"
    if image is not None and image.ndim > labels.ndim:
        image = image.mean(axis=-1)
    if labels.ndim == 3:
        z = labels.shape[0] // 2 if z is None else min(z, labels.shape[0] - 1)
        labels, image = labels[z], None if image is None else image[z]
        title += f" in the stack, plane {z}"
    if np.issubdtype(labels.dtype, np.floating):
        return show_image(ax, labels, title="denoised")
    show_image(ax, np.zeros(labels.shape) if image is None else image, title=title)
    show_contours(ax, labels)
    return ax
