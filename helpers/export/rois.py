"""Outlines of objects, and ROI files for ImageJ and Fiji."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["outline_objects", "trace_pieces", "write_imagej_rois"]


def outline_objects(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Return the outline of every object as a polygon.

    Parameters
    ----------
    labels : ndarray of int, YX
        Label image, 0 is background.

    Returns
    -------
    dict of int to ndarray of float, shape (n_points, 2)
        By object number: points (x, y) in ImageJ's coordinates, where pixel (0, 0) covers the
        square from 0 to 1. Of an object in several pieces, the longest outline; holes are not
        kept.

    Raises
    ------
    ValueError
        If `labels` is not a 2D image of integers.
    """
    return {
        number: max((outer for outer, _ in pieces), key=len)
        for number, pieces in trace_pieces(labels).items()
    }


def trace_pieces(labels: np.ndarray) -> dict[int, list[tuple[np.ndarray, list[np.ndarray]]]]:
    """Return all outlines of every object: each piece with its holes.

    Parameters
    ----------
    labels : ndarray of int, YX
        Label image, 0 is background.

    Returns
    -------
    dict of int to list of (outer, holes)
        Closed polygons (the last point is the first one), float, shape (n_points, 2), x and y
        as in `outline_objects`. Pixels that meet at a corner only are two pieces.

    Raises
    ------
    ValueError
        If `labels` is not a 2D image of integers.

    Notes
    -----
    The polygons run through the middle between two pixel centres, so that the centre of a pixel
    lies inside of the polygon of its own object and of no other.
    """
    from scipy.ndimage import find_objects

    labels = np.asarray(labels)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels has shape {labels.shape} and dtype {labels.dtype}: give a label image of "
            "integers with axes YX, of a volume one slice"
        )
    return {
        number: _trace(labels[box] == number, [side.start for side in box])
        for number, box in enumerate(find_objects(labels), 1)
        if box is not None
    }


def _trace(mask: np.ndarray, corner: list[int]) -> list[tuple[np.ndarray, list[np.ndarray]]]:
    from skimage.measure import find_contours, points_in_poly

    rings = [
        (ring + corner - 0.5)[:, ::-1] for ring in find_contours(np.pad(mask, 1).astype(float), 0.5)
    ]
    areas = [_signed_area(ring) for ring in rings]
    sign = np.sign(areas[int(np.argmax(np.abs(areas)))])  # the largest ring is no hole
    pieces = [(ring, []) for ring, area in zip(rings, areas, strict=True) if area * sign > 0]
    for hole in (ring for ring, area in zip(rings, areas, strict=True) if area * sign <= 0):
        around = [p for p in pieces if points_in_poly(hole[:1], p[0])[0]]
        min(around or pieces, key=lambda piece: abs(_signed_area(piece[0])))[1].append(hole)
    return pieces


def _signed_area(ring: np.ndarray) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2


def write_imagej_rois(path: str | Path, labels: np.ndarray, *, overwrite: bool = False) -> Path:
    """Write the outlines of all objects as a ROI zip, to be dragged onto ImageJ or Fiji.

    Parameters
    ----------
    path : path
        File to write, ending in ``.zip``; its folder is made if needed.
    labels : ndarray of int, YX or ZYX
        Label image; each ROI is named after its object's number. Of a volume every slice of an
        object becomes a ROI of that slice, ``NUMBER-zSLICE`` with slices from 1 as in ImageJ.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If the file exists and `overwrite` is False, has another ending, there is no object,
        or `labels` is no label image.
    """
    from roifile import ROI_TYPE, ImagejRoi, roiwrite

    path, labels = Path(path), np.asarray(labels)
    if path.suffix != ".zip":
        raise ValueError(f"path is {path.name}: ImageJ reads several ROIs from a .zip file")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists already: choose another name, or give overwrite=True")
    rois = []
    planes = enumerate(labels, start=1) if labels.ndim == 3 else [(0, labels)]
    for z, plane in planes:
        for number, outline in outline_objects(plane).items():
            roi = ImagejRoi.frompoints(outline, name=f"{number}-z{z}" if z else str(number))
            roi.roitype, roi.position = ROI_TYPE.POLYGON, z
            rois.append(roi)
    if not rois:
        raise ValueError("labels holds no object, and a ROI file cannot be empty")
    path.parent.mkdir(parents=True, exist_ok=True)
    roiwrite(path, rois, mode="w")
    return path
