"""Label images to a Supervisely project."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from helpers.annotations.shapes import load_annotation, require
from helpers.images import check_labels
from helpers.storage import write_json, write_whole

__all__ = ["write_supervisely"]

GEOMETRIES = ("bitmap", "polygon")


def write_supervisely(
    project: str | Path,
    images: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    *,
    dataset: str = "ds0",
    class_title: str = "Nucleus",
    geometry: str = "bitmap",
    overwrite: bool = False,
) -> Path:
    """Write images and label images as a project that Supervisely imports.

    Parameters
    ----------
    project : path
        Folder of the project, made where it does not exist; another data set can be added to
        an existing one.
    images : mapping of str to ndarray, YX or YXC
        Images by name, without ending. uint8 is written as it is; anything else is scaled from
        its smallest to its largest value to 8 bits, to be looked at, not measured.
    labels : mapping of str to ndarray of int, YX
        Label images by the same names.
    dataset : str
        Name of the data set: the folder in the project.
    class_title : str
        The class all objects get.
    geometry : {"bitmap", "polygon"}
        How an object is stored: its pixels, or its outline, which is easier to edit. Both are
        exact. An object in several pieces becomes one polygon for each piece.
    overwrite : bool
        Replace files of the same names.

    Returns
    -------
    pathlib.Path
        `project`.

    Raises
    ------
    FileExistsError
        If a file exists and `overwrite` is False; nothing is written then.
    ValueError
        If names, shapes or the geometry do not fit; the message names the image.

    Notes
    -----
    Polygons run through the centres of the outermost pixels of an object and, for a hole,
    through those of the hole; pixels count as connected over corners.
    """
    if geometry not in GEOMETRIES:
        raise ValueError(f"geometry is {geometry!r}: give 'bitmap' or 'polygon'")
    _check_names(images, labels, dataset)
    pairs = {name: _check_pair(name, images[name], labels[name]) for name in images}
    folder = Path(project) / dataset
    paths = {name: (folder / "img", folder / "ann") for name in pairs}
    if not overwrite:
        _refuse_existing(paths)
    meta = _extend_meta(Path(project) / "meta.json", class_title, geometry)
    for name, (image, label) in pairs.items():
        _write_png(folder / "img" / f"{name}.png", image)
        objects = list(_make_objects(label, class_title, geometry))
        write_json(folder / "ann" / f"{name}.png.json", _make_annotation(label.shape, objects))
    write_json(Path(project) / "meta.json", meta)
    return Path(project)


def _check_names(images: Mapping, labels: Mapping, dataset: str) -> None:
    if set(images) != set(labels):
        odd = sorted(set(images) ^ set(labels))
        raise ValueError(f"images and labels differ in the names {', '.join(odd)}: give both")
    for name in (dataset, *images):
        if not name or Path(name).name != name:
            raise ValueError(f"{name!r} cannot name a file: give a name without a folder")


def _check_pair(name: str, image: np.ndarray, labels: np.ndarray) -> tuple:
    image, labels = np.asarray(image), check_labels(labels, name)
    if labels.ndim != 2 or image.shape[:2] != labels.shape or image.ndim not in (2, 3):
        raise ValueError(
            f"{name}: the image has shape {image.shape} and the labels {labels.shape}: give both "
            "with equal rows and columns, one slice of a stack at a time"
        )
    if image.ndim == 3 and image.shape[2] != 3:
        raise ValueError(f"{name}: the image has {image.shape[2]} channels: give 1 (YX) or 3")
    return image, labels


def _refuse_existing(paths: Mapping) -> None:
    for name, (img, ann) in paths.items():
        for path in (img / f"{name}.png", ann / f"{name}.png.json"):
            if path.exists():
                raise FileExistsError(f"{path} exists: give overwrite=True to replace it")


def _extend_meta(path: Path, title: str, geometry: str) -> dict:
    """Return the content of meta.json with the class in it."""
    meta = {"projectType": "images", "classes": [], "tags": []}
    if path.exists():
        meta = load_annotation(path)
    classes = require(meta, "classes", list, str(path))
    shapes = {entry.get("title"): entry.get("shape") for entry in classes}
    if shapes.get(title, geometry) not in (geometry, "any"):
        raise ValueError(
            f"{path} has the class {title!r} for {shapes[title]} objects: give geometry="
            f"{shapes[title]!r}, or another class_title"
        )
    if title not in shapes:
        classes.append({"title": title, "shape": geometry, "color": "#E5393B"})
    return meta


def _write_png(path: Path, image: np.ndarray) -> None:
    from PIL import Image

    with write_whole(path) as part:
        Image.fromarray(_to_uint8(image)).save(part, format="PNG")


def _to_uint8(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.uint8:
        return image
    finite = np.isfinite(image)
    values = np.where(finite, image, 0).astype(np.float64)
    low, high = values.min(where=finite, initial=np.inf), values.max(where=finite, initial=-np.inf)
    scale = high - low if high > low else 1.0
    return np.round(255 * np.where(finite, (values - low) / scale, 0)).astype(np.uint8)


def _make_annotation(shape: tuple[int, int], objects: list[dict]) -> dict:
    for number, entry in enumerate(objects, start=1):
        entry["id"] = number
    size = {"height": shape[0], "width": shape[1]}
    return {"description": "", "tags": [], "size": size, "objects": objects}


def _make_objects(labels: np.ndarray, title: str, geometry: str) -> Iterator[dict]:
    from scipy.ndimage import find_objects

    ids, compact = np.unique(labels, return_inverse=True)
    compact = compact.reshape(labels.shape) + (ids[0] > 0 if ids.size else 0)
    for number, box in enumerate(find_objects(compact), start=1):
        corner = (box[1].start, box[0].start)
        common = {"classTitle": title, "description": "", "tags": [], "geometryType": geometry}
        mask = compact[box] == number
        if geometry == "bitmap":
            yield {**common, "bitmap": {"data": _encode_bitmap(mask), "origin": list(corner)}}
        else:
            for points in _trace(mask, corner):
                yield {**common, "points": points}


def _encode_bitmap(mask: np.ndarray) -> str:
    """Return a mask as Supervisely stores it: a PNG with transparent background."""
    from PIL import Image

    image = Image.fromarray(mask.astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 255, 255, 255])
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", transparency=0)
    return base64.b64encode(zlib.compress(buffer.getvalue())).decode("ascii")


def _trace(mask: np.ndarray, corner: tuple[int, int]) -> Iterator[dict]:
    """Yield the outline of each piece of an object, with the outlines of its holes."""
    from scipy import ndimage

    pieces, n_pieces = ndimage.label(mask, np.ones((3, 3)))
    for number in range(1, n_pieces + 1):
        piece = pieces == number
        filled = ndimage.binary_fill_holes(piece)
        holes, n_holes = ndimage.label(filled & ~piece)
        interior = [_outline(holes == hole, corner) for hole in range(1, n_holes + 1)]
        yield {"exterior": _outline(filled, corner), "interior": interior}


def _outline(mask: np.ndarray, corner: tuple[int, int]) -> list[list[int]]:
    import cv2

    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=corner
    )
    points = contours[0][:, 0].tolist()
    return points + [points[-1]] * (3 - len(points))  # a polygon has at least three corners
