"""Predict every image of a folder with a saved model: resumable, one line per image."""

from __future__ import annotations

import csv
import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.datasets import manifest_pixel_size
from helpers.images import file_stem, read_image_axes, read_pixel_size, write_image, write_labels
from helpers.layouts import list_images
from helpers.predict.checks import check_memory, fit_image
from helpers.predict.predictors import Predictor, load_predictor
from helpers.storage import read_json, write_json, write_whole

__all__ = ["Outcome", "predict_folder"]

FACTS = "predictions.json"
TABLE = "predictions.csv"
COLUMNS = ("file", "status", "objects", "seconds", "note")


@dataclass(frozen=True)
class Outcome:
    """What became of one image: `status` is ``"predicted"``, ``"skipped"`` or ``"failed"``."""

    file: str
    status: str
    objects: int | None = None
    seconds: float = 0.0
    note: str = ""


def predict_folder(
    model: str | Path | Predictor,
    folder: str | Path,
    out: str | Path | None = None,
    *,
    tta: bool | None = None,
    resume: bool = False,
    show: Callable[[str], object] = print,
) -> list[Outcome]:
    """Write the label image (or denoised image) of every image in a folder.

    Parameters
    ----------
    model : path or Predictor
        A run folder, ``runs/DATASET/METHOD``, its model folder, or what `load_predictor` gave.
    folder : path
        Images of any format that `helpers.images.read_image` reads, in the folder or in its
        subfolder ``images``. Nothing is written into it.
    out : path, optional
        Gets ``NAME.tif`` for each image, ``predictions.csv`` and ``predictions.json``. By
        default a new folder beside `folder`, ``FOLDER_METHOD``.
    tta : bool, optional
        Average over flips and turns, or not; by default as the model was saved.
    resume : bool
        Go on in an `out` of the same model and settings: images with a result are skipped.
    show : callable
        Gets one line of text per image.

    Returns
    -------
    list of Outcome
        One per image. An image that cannot be predicted does not stop the others.

    Raises
    ------
    FileNotFoundError
        If the folder or the model does not exist.
    ValueError
        If there are no images, or `out` holds other files, or results of another model or,
        without `resume`, of this one.
    """
    files = list_images(folder)
    if not files:
        raise ValueError(f"{folder} holds no images: give a folder with TIFF, PNG or other images")
    predictor = model if isinstance(model, Predictor) else load_predictor(model)
    changes = {} if tta is None else {"tta": tta}
    if tta and not predictor.method.has_tta:
        show(f"note: {predictor.method.title} has no averaging over turns; --tta changes nothing")
        changes = {}
    root = Path(folder).expanduser().absolute()
    name = f"{root.name}_{predictor.name}"
    out = Path(out).expanduser().absolute() if out else root.with_name(name)
    origin = "" if isinstance(model, Predictor) else str(model)
    _open_out(out, root, _facts(predictor, origin, changes), resume)
    for note in predictor.notes:
        show(f"note: {note}")
    return _predict_all(predictor, files, out, changes, show)


def _facts(predictor: Predictor, origin: str, changes: dict) -> dict:
    from helpers.device import project_version
    from helpers.predict.methods import keras_network

    weights = keras_network(predictor.model).get_weights()
    total = float(sum(np.abs(w).sum(dtype=np.float64) for w in weights))  # tells networks apart
    facts = {"method": predictor.name, "settings": {**predictor.settings, **changes}}
    facts |= {"model": origin, "weights": f"{total:.6g}", "version": project_version()}
    return facts


def _open_out(out: Path, folder: Path, facts: dict, resume: bool) -> None:
    if out in (folder, folder / "images"):
        raise ValueError(f"{out} holds the images: give another folder for the results")
    if out.is_file():
        raise ValueError(f"{out} is a file: give a folder for the results")
    if out.is_dir() and any(out.iterdir()):
        if not (out / FACTS).is_file():
            raise ValueError(f"{out} holds other files, which stay: give a new folder with --out")
        earlier = read_json(out / FACTS)
        same = all(_equal(earlier.get(k), facts[k]) for k in ("method", "settings", "weights"))
        if not same:
            raise ValueError(
                f"{out} holds results of another model or other settings: give a new folder "
                "with --out, or move that one away"
            )
        if not resume:
            raise ValueError(
                f"{out} holds results of this model: --resume skips them and goes on; --out "
                "starts anew elsewhere"
            )
    write_json(out / FACTS, facts)


def _equal(one, other) -> bool:
    import json

    from helpers.storage import to_json

    return json.loads(to_json({"x": one})) == json.loads(to_json({"x": other}))


def _predict_all(predictor, files, out: Path, changes: dict, show) -> list[Outcome]:
    outcomes, seen, started, n_done = [], {}, time.monotonic(), 0
    for number, path in enumerate(files, start=1):
        target = out / f"{file_stem(path)}.tif"
        if target.name.lower() in seen:
            twin = seen[target.name.lower()]
            outcome = Outcome(path.name, "failed", note=f"has the same name as {twin}: rename one")
        elif target.exists():
            outcome = Outcome(path.name, "skipped", note="has a result already")
        else:
            outcome = _predict_one(predictor, path, target, changes)
            n_done += 1
        seen.setdefault(target.name.lower(), path.name)
        outcomes.append(outcome)
        _append(out / TABLE, outcome)
        pace = (time.monotonic() - started) / max(1, n_done)
        left = f", {pace * (len(files) - number):.0f} s left" if 0 < number < len(files) else ""
        show(_line(number, len(files), outcome) + (left if n_done else ""))
    return outcomes


def _predict_one(predictor: Predictor, path: Path, target: Path, changes: dict) -> Outcome:
    started = time.monotonic()
    try:
        check_memory(path, predictor.method.bytes_per_pixel)
        image, axes = read_image_axes(path)
        size = read_pixel_size(path) or manifest_pixel_size(path.parent)
        image, notes = fit_image(predictor, image, axes, size)
        known = {"pixel_size_um": size} if size else {}
        result = predictor(image, **known, **changes)
        n_objects = _write(target, result, size, predictor.method.result)
        notes += _judge(result, n_objects)
    except Exception as error:  # noqa: BLE001  one bad image must not stop a hundred good ones
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        seconds = time.monotonic() - started
        return Outcome(path.name, "failed", seconds=seconds, note=_explain(error, path))
    seconds = time.monotonic() - started
    return Outcome(path.name, "predicted", n_objects, seconds, "; ".join(notes))


def _write(target: Path, result: np.ndarray, size, kind: str) -> int | None:
    fits = size if size and len(size) == result.ndim else None
    with write_whole(target) as part:
        if kind == "image":
            write_image(part, result.astype(np.float32), pixel_size_um=fits, overwrite=True)
            return None
        write_labels(part, result, pixel_size_um=fits, overwrite=True)
    return len(np.unique(result[result > 0]))


def _judge(result: np.ndarray, n_objects: int | None) -> list[str]:
    """Return a note where the result can hardly be right."""
    if n_objects is None:
        return []
    n_pixels = int(np.count_nonzero(result))
    if not n_objects:
        return ["nothing was found"]
    if n_objects > 100 and n_pixels < 5 * n_objects:
        return [
            f"objects have {n_pixels / n_objects:.1f} pixels: is this model trained, and for this?"
        ]
    if n_pixels > 0.98 * result.size:
        return ["nearly everything became an object: is this model made for such images?"]
    return []


def _explain(error: Exception, path: Path) -> str:
    kind, text = type(error).__name__, str(error).strip().splitlines()
    text = text[0] if text else ""
    if kind == "ResourceExhaustedError" or "out of memory" in text.lower():
        return (
            "the graphics card has too little memory: cut the image, or set CUDA_VISIBLE_DEVICES=-1"
        )
    if isinstance(error, MemoryError) and not text.startswith("is "):
        return "the memory does not suffice: cut the image into pieces"
    known = isinstance(error, ValueError | OSError | ImportError | MemoryError)
    text = text if known else f"{kind}: {text}"
    return text.removeprefix(f"{path.name}: ").removeprefix(f"{path.name} ")


def _append(path: Path, outcome: Outcome) -> None:
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(COLUMNS)
        row = [getattr(outcome, name) for name in COLUMNS]
        row[3] = round(outcome.seconds, 2)
        writer.writerow(["" if value is None else value for value in row])


def _line(number: int, n_all: int, outcome: Outcome) -> str:
    parts = [f"[{number:{len(str(n_all))}d}/{n_all}] {outcome.file}: {outcome.status}"]
    if outcome.objects is not None:
        parts.append(f"{outcome.objects} object{'' if outcome.objects == 1 else 's'}")
    if outcome.status != "skipped":
        parts.append(f"{outcome.seconds:.1f} s")
    return ", ".join(parts) + (f" ({outcome.note})" if outcome.note else "")
