"""Results for other programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["outline_objects", "write_imagej_rois"]


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
    from scipy.ndimage import find_objects
    from skimage.measure import find_contours

    labels = np.asarray(labels)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels has shape {labels.shape} and dtype {labels.dtype}: give a label image of "
            "integers with axes YX, of a volume one slice"
        )
    outlines = {}
    for number, box in enumerate(find_objects(labels), 1):
        if box is None:
            continue
        padded = np.pad(labels[box] == number, 1)
        longest = max(find_contours(padded.astype(float), 0.5), key=len)
        corner = [side.start for side in box]
        outlines[number] = (longest + corner - 0.5)[:, ::-1]
    return outlines


def write_imagej_rois(path: str | Path, labels: np.ndarray, *, overwrite: bool = False) -> Path:
    """Write the outlines of all objects as a ROI zip, to be dragged onto ImageJ or Fiji.

    Parameters
    ----------
    path : path
        File to write, ending in ``.zip``; its folder is made if needed.
    labels : ndarray of int, YX
        Label image; each ROI is named after its object's number.
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
        or `labels` is no 2D label image.
    """
    from roifile import ROI_TYPE, ImagejRoi, roiwrite

    path = Path(path)
    if path.suffix != ".zip":
        raise ValueError(f"path is {path.name}: ImageJ reads several ROIs from a .zip file")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists already: choose another name, or give overwrite=True")
    rois = []
    for number, outline in outline_objects(labels).items():
        roi = ImagejRoi.frompoints(outline, name=str(number))
        roi.roitype = ROI_TYPE.POLYGON
        rois.append(roi)
    if not rois:
        raise ValueError("labels holds no object, and a ROI file cannot be empty")
    path.parent.mkdir(parents=True, exist_ok=True)
    roiwrite(path, rois, mode="w")
    return path
