"""labelme files to label images."""

from __future__ import annotations

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

__all__ = ["read_labelme"]


def read_labelme(
    path: str | Path, *, classes: Sequence[str] | None = None, overlap: str = "later"
) -> list[AnnotatedImage]:
    """Read one labelme file, or all of a folder.

    Parameters
    ----------
    path : path
        JSON file, or a folder with such files.
    classes : sequence of str, optional
        Read shapes with these labels only; all by default.
    overlap : {"later", "earlier", "error"}
        Which of two overlapping objects keeps a pixel: the later one in the file by default.

    Returns
    -------
    list of AnnotatedImage
        Named by their JSON file, without ending, sorted by name.

    Raises
    ------
    FileNotFoundError
        If there is no JSON file.
    ValueError
        If a file is no labelme file, or a shape is damaged or has no area (points and lines).
        The message names file and shape.

    Notes
    -----
    Polygons, rectangles and circles are filled with their outlines, as labelme's own export
    does; masks are taken as they are. Shapes of the same label and ``group_id`` are parts
    of one object.
    """
    path = Path(path)
    check_overlap(overlap)
    paths = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not paths:
        raise FileNotFoundError(f"{path} holds no .json file: give the folder labelme saved to")
    return [_read_file(one, classes, overlap) for one in paths]


def _read_file(path: Path, classes: Sequence[str] | None, overlap: str) -> AnnotatedImage:
    content = load_annotation(path)
    shape = tuple(require(content, f"image{side}", int, str(path)) for side in ("Height", "Width"))
    objects: dict[object, DrawnObject] = {}
    for number, entry in enumerate(require(content, "shapes", list, str(path)), start=1):
        label = require(entry, "label", str, f"{path}, shape {number}")
        if classes is not None and label not in classes:
            continue
        where = f"{path}, shape {number} ({label})"
        group = entry.get("group_id")
        key = number if group is None else (label, str(group))
        piece = _read_shape(entry, shape, where)
        objects.setdefault(key, DrawnObject(where, label, [])).pieces.append(piece)
    labels, kinds = paint_objects(objects.values(), shape, overlap=overlap)
    image = path.parent / Path(str(content.get("imagePath") or path.stem).replace("\\", "/"))
    return AnnotatedImage(path.stem, image, labels, kinds)


def _read_shape(entry: dict, shape: tuple[int, int], where: str) -> Piece:
    kind = entry.get("shape_type") or "polygon"  # files of labelme before 3.0 do not say
    if kind not in ("polygon", "rectangle", "circle", "mask"):
        raise ValueError(
            f"{where} is a {kind}, which has no area: only polygon, rectangle, circle and mask can "
            "be read. Remove it, or leave its label out by classes=[...]"
        )
    points = read_points(entry.get("points"), where, least=3 if kind == "polygon" else 2)
    if kind == "mask":
        return _read_mask(entry, points, shape, where)
    if kind == "circle":
        radius = np.hypot(*(points[1] - points[0]))
        points = np.array([points[0] - radius, points[0] + radius])
    return _draw(kind, points)


def _read_mask(entry: dict, points: np.ndarray, shape: tuple[int, int], where: str) -> Piece:
    data = decode_base64(require(entry, "mask", str, where), where)
    mask = decode_png_mask(data, shape, where)
    (left, top), (right, bottom) = np.floor(points[:2] + 0.5).astype(int).tolist()
    if mask.shape != (bottom - top + 1, right - left + 1):
        raise ValueError(
            f"{where} has a mask of {mask.shape[0]} rows and {mask.shape[1]} columns, but its "
            f"points span {bottom - top + 1} and {right - left + 1}: save it again in labelme"
        )
    return Piece((top, left), mask)


def _draw(kind: str, points: np.ndarray) -> Piece:
    """Fill a shape as labelme does: with Pillow, outline included."""
    from PIL import Image, ImageDraw

    first = np.floor(points.min(axis=0)).astype(int)
    width, height = (np.ceil(points.max(axis=0)).astype(int) - first + 1).tolist()
    canvas = Image.new("L", (width, height))
    draw = ImageDraw.Draw(canvas)
    local = points - first
    if kind == "polygon":
        draw.polygon([tuple(corner) for corner in local.tolist()], fill=1, outline=1)
    else:
        box = [*local.min(axis=0).tolist(), *local.max(axis=0).tolist()]
        (draw.rectangle if kind == "rectangle" else draw.ellipse)(box, fill=1, outline=1)
    return Piece((int(first[1]), int(first[0])), np.asarray(canvas) > 0)
