"""What all annotation formats share: reading JSON, PNG masks, and painting objects."""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = [
    "OVERLAPS",
    "AnnotatedImage",
    "DrawnObject",
    "Piece",
    "check_overlap",
    "decode_base64",
    "decode_png_mask",
    "load_annotation",
    "paint_objects",
    "read_points",
    "require",
]

OVERLAPS = ("later", "earlier", "error")
"""Which object keeps a pixel that two objects claim: see :func:`paint_objects`."""


class AnnotatedImage(NamedTuple):
    """One image with its objects.

    Attributes
    ----------
    name : str
        Name of the image as the annotation has it.
    path : pathlib.Path
        Where its file should lie; whether it exists is not checked.
    labels : ndarray of int32, YX
        0 is background, ``k`` the k-th object of the annotation. The number of an object
        that others cover completely is missing.
    classes : tuple of str
        ``classes[k - 1]`` is the class of object ``k``.
    """

    name: str
    path: Path
    labels: np.ndarray
    classes: tuple[str, ...]


class Piece(NamedTuple):
    """A part of an object: a mask (bool, YX) whose first pixel lies at ``corner``, (y, x)."""

    corner: tuple[int, int]
    mask: np.ndarray


class DrawnObject(NamedTuple):
    """An object: what an error calls it, its class and its pieces."""

    name: str
    kind: str
    pieces: Sequence[Piece]


def paint_objects(
    objects: Iterable[DrawnObject], shape: tuple[int, int], *, overlap: str = "later"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Paint objects into one label image, in their order.

    Parameters
    ----------
    objects : iterable of DrawnObject
        Parts of a piece outside of the image are cut off.
    shape : tuple of int
        Rows and columns of the image.
    overlap : {"later", "earlier", "error"}
        Which object keeps a pixel that two objects claim: the one further down in the file,
        as the drawing programs show it; the one further up; or none, an error names both.

    Returns
    -------
    labels : ndarray of int32, YX
        Numbered from 1 in the order of the objects.
    classes : tuple of str
        Class of each number.

    Raises
    ------
    ValueError
        If an object lies wholly outside of the image, or two overlap and must not.
    """
    labels, drawn = np.zeros(shape, np.int32), []
    for one in objects:
        drawn.append(one)
        inside = [_clip(piece, shape) for piece in one.pieces]
        if not any(mask.any() for _, mask in inside):
            raise ValueError(
                f"{one.name} covers no pixel of the image, which has {shape[0]} rows and "
                f"{shape[1]} columns: correct it, or remove it from the file"
            )
        for box, mask in inside:
            _paint(labels[box], mask, drawn, overlap)
    return labels, tuple(one.kind for one in drawn)


def _clip(piece: Piece, shape: tuple[int, int]) -> tuple[tuple[slice, ...], np.ndarray]:
    box, inner = [], []
    for start, length, size in zip(piece.corner, piece.mask.shape, shape, strict=True):
        low, high = np.clip((start, start + length), 0, size).tolist()
        box.append(slice(low, high))
        inner.append(slice(low - start, high - start))
    return tuple(box), piece.mask[tuple(inner)]


def _paint(view: np.ndarray, mask: np.ndarray, drawn: list, overlap: str) -> None:
    number = len(drawn)
    taken = mask & (view > 0) & (view != number)
    if overlap == "error" and taken.any():
        other = drawn[int(view[taken][0]) - 1]
        raise ValueError(
            f"{drawn[-1].name} overlaps {other.name} in {np.count_nonzero(taken)} pixels: correct "
            "the drawing, or give overlap='later' or 'earlier' to say which one keeps them"
        )
    view[mask & ~taken if overlap == "earlier" else mask] = number


def check_overlap(overlap: str) -> None:
    """Raise ValueError if `overlap` is none of :data:`OVERLAPS`."""
    if overlap not in OVERLAPS:
        raise ValueError(f"overlap is {overlap!r}: give one of {', '.join(map(repr, OVERLAPS))}")


def load_annotation(path: Path) -> dict:
    """Read a JSON file that must hold an object with keys."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check folder, spelling and ending")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON text ({error}): export it again") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not an object with keys")
    return content


def require(entry: object, key: str, kinds: type | tuple[type, ...], where: str):
    """Return ``entry[key]`` if it is there and of one of the types `kinds`."""
    if not isinstance(entry, dict) or key not in entry:
        raise ValueError(f"{where} has no {key!r}: export the annotation again")
    value = entry[key]
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise ValueError(
            f"{where} has {key!r} of type {type(value).__name__}: export the annotation again"
        )
    return value


def read_points(points: object, where: str, *, least: int = 1) -> np.ndarray:
    """Return a list of pairs (x, y) as an array of shape (n, 2), in the order x, y."""
    try:
        array = np.asarray(points, float)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 2 or array.shape[1] != 2 or not np.isfinite(array).all():
        raise ValueError(f"{where} has points that are no list of finite pairs [x, y]")
    if len(array) < least:
        raise ValueError(f"{where} has {len(array)} points: it needs at least {least}")
    if np.abs(array).max(initial=0) > 1e6:
        raise ValueError(f"{where} has points beyond 1000000 pixels: check their unit")
    return array


def decode_base64(text: object, where: str) -> bytes:
    """Return the bytes of base64 text."""
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise ValueError(f"{where} has a mask that is no base64 text ({error})") from None


def decode_png_mask(data: bytes, limit: tuple[int, int], where: str) -> np.ndarray:
    """Return the mask in a PNG file: its alpha channel if it has one, else what is not black.

    Parameters
    ----------
    data : bytes
        The file.
    limit : tuple of int
        Rows and columns that the mask may have at most; checked before it is decoded.
    where : str
        What an error calls the object.

    Returns
    -------
    ndarray of bool, YX
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.height > limit[0] or image.width > limit[1]:
                raise ValueError(
                    f"{where} has a mask of {image.height} rows and {image.width} columns, larger "
                    f"than the image with {limit[0]} and {limit[1]}"
                )
            has_alpha = image.mode in ("LA", "RGBA") or "transparency" in image.info
            pixels = np.asarray(image.convert("RGBA") if has_alpha else image)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{where} has a mask that is no PNG image ({error})") from None
    if has_alpha:
        return pixels[..., 3] > 0
    return pixels.any(axis=-1) if pixels.ndim == 3 else pixels > 0
