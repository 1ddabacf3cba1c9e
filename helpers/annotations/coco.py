"""COCO instance annotations to label images, without pycocotools."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.annotations.shapes import (
    AnnotatedImage,
    DrawnObject,
    Piece,
    check_overlap,
    load_annotation,
    paint_objects,
    read_points,
    require,
)

__all__ = ["decode_rle", "read_coco"]


def read_coco(
    path: str | Path,
    *,
    images: str | Path | None = None,
    classes: Sequence[str] | None = None,
    overlap: str = "later",
) -> list[AnnotatedImage]:
    """Read the instances of a COCO file.

    Parameters
    ----------
    path : path
        JSON file with ``images``, ``annotations`` and ``categories``.
    images : path, optional
        Folder of the images; by default that of the file.
    classes : sequence of str, optional
        Read objects of these categories only; all by default.
    overlap : {"later", "earlier", "error"}
        Which of two overlapping objects keeps a pixel: the later one in the file by default.

    Returns
    -------
    list of AnnotatedImage
        One for each entry of ``images``, in their order, also where it has no object.

    Raises
    ------
    ValueError
        If an entry is incomplete, refers to an image or category that is not listed, or its
        mask does not fit the image. The message names file and annotation.

    Notes
    -----
    A pixel belongs to a polygon if its centre, half a pixel from its corner, lies inside;
    several polygons of one annotation are parts of one object. Run-length masks may be
    plain lists or compressed text. Crowd regions (``iscrowd``) mark several objects at once
    and are left out.
    """
    path = Path(path)
    check_overlap(overlap)
    content = load_annotation(path)
    names = _read_categories(content, path)
    if unknown := sorted(set(classes or ()) - set(names.values())):
        raise ValueError(f"classes has {', '.join(unknown)}, which {path} does not list")
    shapes = _read_shapes(content, path)
    objects = defaultdict(list)
    for entry in require(content, "annotations", list, str(path)):
        where = f"{path}, annotation {entry.get('id') if isinstance(entry, dict) else entry}"
        image, kind = _read_links(entry, shapes, names, where)
        if not entry.get("iscrowd") and (classes is None or kind in classes):
            pieces = _read_segmentation(entry, shapes[image], f"{where} ({kind})")
            objects[image].append(DrawnObject(f"{where} ({kind})", kind, pieces))
    folder = path.parent if images is None else Path(images)
    found = []
    for entry in content["images"]:
        painted = paint_objects(objects[entry["id"]], shapes[entry["id"]], overlap=overlap)
        found.append(AnnotatedImage(entry["file_name"], folder / entry["file_name"], *painted))
    return found


def _read_categories(content: dict, path: Path) -> dict:
    return {
        require(entry, "id", int, f"{path}, categories"): require(
            entry, "name", str, f"{path}, categories"
        )
        for entry in require(content, "categories", list, str(path))
    }


def _read_shapes(content: dict, path: Path) -> dict[int | str, tuple[int, int]]:
    shapes = {}
    for number, entry in enumerate(require(content, "images", list, str(path)), start=1):
        where = f"{path}, image {number}"
        require(entry, "file_name", str, where)
        image = require(entry, "id", (int, str), where)
        if image in shapes:
            raise ValueError(f"{where} has the id {image!r} of an earlier image")
        shapes[image] = tuple(require(entry, key, int, where) for key in ("height", "width"))
    return shapes


def _read_links(entry: dict, shapes: dict, names: dict, where: str) -> tuple[int | str, str]:
    image = require(entry, "image_id", (int, str), where)
    category = require(entry, "category_id", int, where)
    if image not in shapes:
        raise ValueError(f"{where} belongs to image {image!r}, which the file does not list")
    if category not in names:
        raise ValueError(f"{where} has category {category}, which the file does not list")
    return image, names[category]


def _read_segmentation(entry: dict, shape: tuple[int, int], where: str) -> list[Piece]:
    segmentation = require(entry, "segmentation", (list, dict), where)
    if isinstance(segmentation, list):
        if not segmentation:
            raise ValueError(f"{where} has an empty segmentation, only a box: draw its outline")
        return [_fill_polygon(polygon, where) for polygon in segmentation]
    if list(segmentation.get("size", ())) != list(shape):
        raise ValueError(
            f"{where} has a mask of size {segmentation.get('size')}, but its image has "
            f"{shape[0]} rows and {shape[1]} columns"
        )
    counts = require(segmentation, "counts", (list, str), where)
    try:
        return [Piece((0, 0), decode_rle(counts, shape))]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _fill_polygon(polygon: object, where: str) -> Piece:
    from skimage.draw import polygon2mask

    if not isinstance(polygon, list) or len(polygon) % 2:
        raise ValueError(f"{where} has a polygon that is no list x1, y1, x2, y2, ...")
    pairs = list(zip(polygon[::2], polygon[1::2], strict=True))
    corners = read_points(pairs, where, least=3)[:, ::-1]
    first = np.floor(corners.min(axis=0)).astype(int)
    size = np.ceil(corners.max(axis=0)).astype(int) - first + 1
    return Piece(tuple(first.tolist()), polygon2mask(size, corners - first - 0.5))


def decode_rle(counts: Sequence[int] | str, shape: tuple[int, int]) -> np.ndarray:
    """Return the mask of a run-length code of COCO.

    Parameters
    ----------
    counts : sequence of int or str
        Lengths of the runs of 0 and 1 in turn, starting with 0, column by column; or the
        same as compressed text.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    ndarray of bool, YX

    Raises
    ------
    ValueError
        If the runs are negative or do not add up to the image, or the text is damaged.

    Notes
    -----
    In the text, each run is a signed number in groups of five bits, least first; a character
    is 48 + group, + 32 if more groups follow. From the fourth run on, the number is the
    difference from the run before the last.

    Examples
    --------
    >>> decode_rle([1, 2, 1], (2, 2)).astype(int).tolist()
    [[0, 1], [1, 0]]
    """
    try:
        runs = np.asarray(_unpack(counts) if isinstance(counts, str) else counts, np.int64)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"counts cannot be read ({error}): export the mask again") from None
    rows, columns = shape
    if runs.ndim != 1 or runs.min(initial=0) < 0 or runs.sum() != rows * columns:
        raise ValueError(
            f"counts add up to {runs.sum()} pixels, smallest {runs.min(initial=0)}, but the image "
            f"has {rows} x {columns} = {rows * columns}: export the mask again"
        )
    values = np.arange(runs.size) % 2 == 1
    return np.repeat(values, runs).reshape(columns, rows).T


def _unpack(text: str) -> list[int]:
    runs, value, shift = [], 0, 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise ValueError(f"character {character!r} is not part of the code")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:  # the sign is the highest bit of the last group
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise ValueError("the text ends within a number")
    return runs
