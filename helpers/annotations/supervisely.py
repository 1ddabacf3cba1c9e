"""Supervisely projects to label images."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.annotations.shapes import (
    AnnotatedImage,
    DrawnObject,
    Piece,
    check_overlap,
    decode_base64,
    decode_png_mask,
    load_annotation,
    paint_objects,
    read_points,
    require,
)

__all__ = ["fill_polygon", "read_supervisely"]


def read_supervisely(
    project: str | Path, *, classes: Sequence[str] | None = None, overlap: str = "later"
) -> list[AnnotatedImage]:
    """Read all annotations of a Supervisely project.

    Parameters
    ----------
    project : path
        Folder with ``meta.json`` and, for each data set, ``DATASET/ann/IMAGE.json`` (where
        ``IMAGE`` is a file name with its ending) and ``DATASET/img/IMAGE``.
    classes : sequence of str, optional
        Read objects of these classes only; all by default.
    overlap : {"later", "earlier", "error"}
        Which of two overlapping objects keeps a pixel: the later one in the file by default.

    Returns
    -------
    list of AnnotatedImage
        Named ``DATASET/IMAGE``, sorted by name.

    Raises
    ------
    FileNotFoundError
        If the folder holds no ``meta.json`` or no annotation.
    ValueError
        If a file is damaged, holds a class that ``meta.json`` does not list, or an object is
        neither bitmap nor polygon. The message names file and object.

    Notes
    -----
    Bitmaps are masks (base64, zlib, PNG) with the position of their first pixel. Polygons have
    their corners at pixel centres; pixels on the line belong to the object, and those on the
    line of a hole to the hole.
    """
    project = Path(project)
    check_overlap(overlap)
    known = _read_classes(project / "meta.json")
    if unknown := sorted(set(classes or ()) - known):
        raise ValueError(
            f"classes has {', '.join(unknown)}, but {project / 'meta.json'} lists only "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    paths = sorted(project.glob("*/ann/*.json"))
    if not paths:
        raise FileNotFoundError(
            f"{project} has no DATASET/ann/IMAGE.json: give the folder of an exported project"
        )
    wanted = known if classes is None else set(classes)
    return [_read_image(path, known, wanted, overlap) for path in paths]


def _read_classes(path: Path) -> set[str]:
    entries = require(load_annotation(path), "classes", list, str(path))
    return {
        require(entry, "title", str, f"{path}, class {number}")
        for number, entry in enumerate(entries, start=1)
    }


def _read_image(path: Path, known: set, wanted: set, overlap: str) -> AnnotatedImage:
    content = load_annotation(path)
    size = require(content, "size", dict, str(path))
    shape = tuple(require(size, key, int, f"{path}, size") for key in ("height", "width"))
    if min(shape) < 1:
        raise ValueError(f"{path} says the image has {shape[0]} rows and {shape[1]} columns")
    objects = [
        _read_object(entry, shape, f"{path}, object {number}")
        for number, entry in enumerate(require(content, "objects", list, str(path)), start=1)
        if _read_class(entry, known, f"{path}, object {number}") in wanted
    ]
    labels, kinds = paint_objects(objects, shape, overlap=overlap)
    dataset, image = path.parents[1], path.name.removesuffix(".json")
    return AnnotatedImage(f"{dataset.name}/{image}", dataset / "img" / image, labels, kinds)


def _read_class(entry: object, known: set, where: str) -> str:
    title = require(entry, "classTitle", str, where)
    if title not in known:
        raise ValueError(
            f"{where} is of class {title!r}, which meta.json does not list: export the whole "
            "project again"
        )
    return title


def _read_object(entry: dict, shape: tuple[int, int], where: str) -> DrawnObject:
    where = f"{where} ({entry['classTitle']})"
    kind = entry.get("geometryType") or entry.get("type") or _guess_geometry(entry)
    if kind == "bitmap":
        piece = _read_bitmap(require(entry, "bitmap", dict, where), shape, where)
    elif kind == "polygon":
        piece = _read_polygon(require(entry, "points", dict, where), where)
    else:
        raise ValueError(
            f"{where} is a {kind}, which has no pixels of its own: only bitmap and polygon can be "
            "read. Convert it in Supervisely, or leave its class out by classes=[...]"
        )
    return DrawnObject(where, entry["classTitle"], [piece])


def _guess_geometry(entry: dict) -> str:
    """Tell the form of an object of old exports, which do not name it."""
    return "bitmap" if entry.get("bitmap") else "polygon" if entry.get("points") else "nothing"


def _read_bitmap(bitmap: dict, shape: tuple[int, int], where: str) -> Piece:
    packed = decode_base64(require(bitmap, "data", str, where), where)
    unpacker = zlib.decompressobj()
    try:
        # a PNG of a mask is never larger than this; a file that claims so is not unpacked
        data = unpacker.decompress(packed, 8 * shape[0] * shape[1] + 65_536)
    except zlib.error as error:
        raise ValueError(f"{where} has a bitmap that is not zlib-packed ({error})") from None
    mask = decode_png_mask(data, shape, where)
    x, y = read_points([require(bitmap, "origin", list, where)], where)[0].astype(int)
    if min(x, y) < 0 or y + mask.shape[0] > shape[0] or x + mask.shape[1] > shape[1]:
        raise ValueError(
            f"{where} has a bitmap of {mask.shape[0]} rows and {mask.shape[1]} columns at x={x}, "
            f"y={y}, which leaves the image of {shape[0]} rows and {shape[1]} columns"
        )
    return Piece((int(y), int(x)), mask)


def _read_polygon(points: dict, where: str) -> Piece:
    exterior = read_points(require(points, "exterior", list, where), where, least=3)
    holes = [read_points(hole, where, least=3) for hole in points.get("interior") or []]
    return fill_polygon(exterior, holes)


def fill_polygon(exterior: np.ndarray, holes: Sequence[np.ndarray] = ()) -> Piece:
    """Fill a polygon, line included, without its holes, which include their lines.

    Parameters
    ----------
    exterior : ndarray, (n, 2)
        Corners x, y; whole numbers are pixel centres, others are rounded (halves up).
    holes : sequence of ndarray, (n, 2)
        Corners of each hole.

    Returns
    -------
    Piece
        The bounding box of the exterior.
    """
    import cv2

    exterior, *holes = (np.floor(corners + 0.5).astype(np.int32) for corners in (exterior, *holes))
    first = exterior.min(axis=0)
    width, height = exterior.max(axis=0) - first + 1
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [exterior - first], 1)
    for hole in holes:  # one by one: holes that share a line would else cancel out
        cv2.fillPoly(mask, [hole - first], 0)
    return Piece((int(first[1]), int(first[0])), mask > 0)
