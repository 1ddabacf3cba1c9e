"""Outlines drawn in QuPath (GeoJSON) and in ImageJ or Fiji (ROI files) to label images.

Neither file knows the size of its image, and both count coordinates from the corner of the first
pixel; a pixel belongs to an object if its centre lies inside.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.annotations.shapes import (
    AnnotatedImage,
    DrawnObject,
    Piece,
    check_overlap,
    paint_objects,
)

__all__ = ["read_geojson", "read_imagej_rois"]

NO_AREA = "point line polyline freeline angle freehand_line".split()


def read_geojson(
    path: str | Path,
    shape: tuple[int, int],
    *,
    classes: Sequence[str] | None = None,
    overlap: str = "later",
) -> AnnotatedImage:
    """Read the objects of one image that QuPath exported as GeoJSON.

    Parameters
    ----------
    path : path
        ``.geojson``, ``.json``, or either compressed as ``.gz``.
    shape : (int, int)
        Rows and columns of the image.
    classes : sequence of str, optional
        Read objects of these classifications only.
    overlap : {"later", "earlier", "error"}
        Which of two overlapping objects keeps a pixel.

    Returns
    -------
    AnnotatedImage

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no GeoJSON, or an object lies outside of the image. Points and lines, which have
        no area, and cell nuclei inside of cells are passed over.
    """
    path = Path(path)
    check_overlap(overlap)
    objects = []
    for number, feature in enumerate(_load_features(path), start=1):
        properties = feature.get("properties") or {}
        kind = (properties.get("classification") or {}).get("name") or "object"
        if classes is not None and kind not in classes:
            continue
        geometry = feature.get("geometry") or {}
        polygons = _polygons(geometry, f"{path.name}, feature {number}")
        pieces = [_fill(rings) for rings in polygons]
        if pieces:
            objects.append(DrawnObject(f"{path.name}, feature {number}", kind, pieces))
    labels, kinds = paint_objects(objects, tuple(shape), overlap=overlap)
    name = path.name.split(".")[0]
    return AnnotatedImage(name, path.with_name(name), labels, kinds)


def _load_features(path: Path) -> list:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check folder, spelling and ending")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        content = json.loads(data)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} cannot be read as JSON ({error}): export it again") from None
    if isinstance(content, dict):
        content = content.get("features", [content])
    if not isinstance(content, list) or not all(
        isinstance(f, dict) and f.get("type") == "Feature" for f in content
    ):
        raise ValueError(
            f"{path} holds no GeoJSON features: in QuPath take File > Export objects as GeoJSON"
        )
    return content


def _polygons(geometry: dict, where: str) -> list:
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        return []
    polygons = [coordinates] if kind == "Polygon" else coordinates
    try:
        return [[np.asarray(ring, float)[:, :2] for ring in rings] for rings in polygons]
    except (TypeError, ValueError, IndexError):
        raise ValueError(f"{where} has damaged coordinates: export it again") from None


def read_imagej_rois(
    path: str | Path, shape: tuple[int, int], *, overlap: str = "later"
) -> AnnotatedImage:
    """Read the ROIs of one image from ImageJ or Fiji, one object for each.

    Parameters
    ----------
    path : path
        ``.zip`` of the ROI manager, or one ``.roi``.
    shape : (int, int)
        Rows and columns of the image.
    overlap : {"later", "earlier", "error"}
        Which of two overlapping objects keeps a pixel.

    Returns
    -------
    AnnotatedImage
        The class of each object is the name of its ROI.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read, a ROI lies outside of the image, or ROIs lie in several slices.
        Points and lines, which have no area, are passed over.
    """
    from roifile import roiread

    path = Path(path)
    check_overlap(overlap)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check folder, spelling and ending")
    try:
        rois = roiread(path)
    except Exception as error:
        raise ValueError(f"{path} cannot be read ({error}): save it again in ImageJ") from error
    rois = [roi for roi in (rois if isinstance(rois, list) else [rois]) if _has_area(roi)]
    if len({roi.position for roi in rois}) > 1:
        raise ValueError(
            f"{path} has ROIs in several slices: save those of each slice to a file of their own"
        )
    objects = [
        DrawnObject(f"{path.name}, ROI {roi.name}", roi.name or "object", _pieces(roi))
        for roi in rois
    ]
    labels, kinds = paint_objects(objects, tuple(shape), overlap=overlap)
    return AnnotatedImage(path.stem, path.with_suffix(""), labels, kinds)


def _has_area(roi) -> bool:
    return roi.roitype.name.lower() not in NO_AREA


def _pieces(roi) -> list[Piece]:
    rings = [np.asarray(ring, float) for ring in roi.coordinates(multi=True)]
    return [_fill(rings)]  # rings inside of others are holes


def _fill(rings: Sequence[np.ndarray]) -> Piece:
    """Fill rings of corners x, y: what lies inside an odd number of them."""
    from skimage.draw import polygon2mask

    corners = np.concatenate(rings)
    first = np.floor(corners.min(axis=0)).astype(int)
    width, height = (np.ceil(corners.max(axis=0)).astype(int) - first + 1).tolist()
    mask = np.zeros((height, width), bool)
    for ring in rings:
        mask ^= polygon2mask((height, width), (ring - first - 0.5)[:, ::-1])
    return Piece((int(first[1]), int(first[0])), mask)
