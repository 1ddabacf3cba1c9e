"""Find the record that a prediction needs, or make that of a model which a package saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helpers.storage import read_json

__all__ = ["complete_record", "find_record"]

PLACES = ("model", ".")  # inside of a run folder
PERCENTILES = {"kind": "percentile", "low": 1.0, "high": 99.8, "constants": None}


def find_record(folder: Path) -> tuple[Path, dict]:
    """Return the model folder and the record of a run folder or model folder.

    Raises
    ------
    FileNotFoundError
        If there is no trained model.
    ValueError
        If a record cannot be read, or a model was saved without what prediction needs.
    """
    from helpers.predict.predictors import RECORD

    for place in PLACES:
        if (path := folder / place / RECORD).is_file():
            try:
                return path.parent.resolve(), read_json(path)
            except ValueError as error:
                raise ValueError(
                    f"{path} cannot be read as JSON ({error}): copy it again, or run the "
                    "notebook again"
                ) from None
    for place in PLACES:
        if found := _recognise((folder / place).resolve()):
            return (folder / place).resolve(), found
    names = ("best.weights.h5", "model.json")
    if any((folder / place / name).is_file() for place in PLACES for name in names):
        raise ValueError(
            f"{folder} holds the weights of a training, but not the preprocessing and thresholds "
            "they belong to: run the last cells of its notebook, which save them"
        )
    raise FileNotFoundError(
        f"{folder} holds no trained model: give a run folder, runs/DATASET/METHOD, whose notebook "
        f"ran to its end{_list_models(folder)}"
    )


def _list_models(folder: Path) -> str:
    inside = {path.parent.parent for path in folder.glob("*/*/*.h5")}
    inside |= {path.parent.parent for path in folder.glob("*/*/*/*.h5")}
    names = sorted(p.relative_to(folder).as_posix() for p in inside if p != folder)
    return f"; in there are {', '.join(names[:5])}" if names else ""


def _recognise(folder: Path) -> dict | None:
    """Return the record of a model that a package saved with all it needs, by its files."""
    if (folder / "fpn.json").is_file():
        return {"method": "fpn_watershed", "settings": _turns_of(folder.parent)}
    if (folder / "config.json").is_file():
        config = read_json(folder / "config.json")
        if "n_rays" in config and any(folder.glob("*.h5")):
            return _record_of_stardist(folder)
        if "n2v_perc_pix" in config and (folder / "weights_best.h5").is_file():
            return {"method": "n2v", "settings": {"tta": True}}
    return None


def _record_of_stardist(folder: Path) -> dict:
    params = folder.parent / "params.json"
    scheme = read_json(params)["parameters"].get("scheme") if params.is_file() else None
    if scheme == "Baseline":
        raise ValueError(
            f"{folder.parent}: this network saw images scaled by the mean of its training images, "
            "which was not saved: run notebook 04 again, or take its run 'stardist'"
        )
    settings = {"normalizer": PERCENTILES}
    record = {"method": "stardist", "settings": settings}
    if not (folder / "thresholds.json").is_file():
        record["notes"] = ["thresholds were not tuned: the defaults of stardist are used"]
    return record


def _turns_of(run: Path) -> dict:
    params = run / "params.json"
    parameters = read_json(params).get("parameters", {}) if params.is_file() else {}
    return {"tta": parameters["tta"]} if "tta" in parameters else {}


def complete_record(run_folder: Path, data_folder: Path | None) -> Path | None:
    """Write ``predictor.json`` of a finished run, or add what it lacks; None without a model.

    Parameters
    ----------
    run_folder : path
        The run.
    data_folder : path, optional
        Its data, to note what the training images are like.
    """
    from helpers.predict.predictors import save_predictor

    try:
        where, record = find_record(run_folder.absolute())
    except (FileNotFoundError, ValueError):
        return None
    if record.get("trained_on"):
        return where
    facts = _describe_folder(data_folder) if data_folder else {}
    notes = tuple(record.get("notes", ()))
    return save_predictor(
        where, record["method"], trained_on=facts, notes=notes, **record["settings"]
    )


def _describe_folder(folder: Path) -> dict:
    """Return the facts on the first training images of a data folder."""
    from helpers.datasets import common_pixel_size, manifest_pixel_size
    from helpers.layouts import find_pairs, read_pair_image
    from helpers.predict.predictors import describe_images

    layout = find_pairs(folder)
    pairs = (layout.pairs.get("train") or next(iter(layout.pairs.values())))[:4]
    images = [read_pair_image(pair) for pair in pairs]
    size = common_pixel_size(pairs) or manifest_pixel_size(layout.root)
    arrays = [np.asarray(image) for image, _ in images]
    return describe_images(arrays, images[0][1], size)
