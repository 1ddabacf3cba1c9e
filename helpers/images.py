"""Image files to arrays and back, with pixel sizes, as a microscopist's files need it."""

import math
import re
from pathlib import Path

import numpy as np

from helpers.formats import IMAGE_SUFFIXES, decode, order_axes, stored_pixel_size
from helpers.tiff import write_tiff

__all__ = [
    "IMAGE_SUFFIXES",
    "check_labels",
    "file_stem",
    "read_image",
    "read_image_axes",
    "read_labels",
    "read_pixel_size",
    "write_image",
    "write_labels",
]


def file_stem(path):
    """Return the name of an image file without its ending; `.ome.tif` counts as one ending.

    Examples
    --------
    >>> file_stem("data/cell_1.ome.tif"), file_stem("cell.2.png")
    ('cell_1', 'cell.2')
    """
    return re.sub(r"\.(ome\.)?[^.]+$", "", Path(path).name)


def read_image(path, *, scene=None):
    """Return the image in a file as an array, without axes of length one.

    Parameters
    ----------
    path : path
        TIFF (plain, OME, ImageJ), PNG, JPEG, BMP, npy, or npz with one array; CZI, ND2, LIF
        and OME-Zarr with the optional readers.
    scene : str or int, optional
        Which image of a CZI, ND2, LIF or OME-Zarr file that holds several.

    Returns
    -------
    ndarray
        As stored: dtype and values are not changed. Axes YX, ZYX, YXC or ZYXC; time, where a
        file has it, comes first.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If the format needs an optional reader; the message has the command that installs it.
    ValueError
        If the format is unknown, or the file is damaged or cut off, holds Python objects, or
        holds several images and `scene` does not say which.

    Notes
    -----
    Pages of a TIFF without a description are taken for Z. A palette PNG gives its indices, so
    that labels stay labels. An alpha channel is left out. npy and npz have no axes: theirs are
    taken as they are, and a last axis of 2 to 4 for channels.
    """
    return read_image_axes(path, scene=scene)[0]


def read_image_axes(path, *, scene=None):
    """Return the image in a file and its axes, such as ``"YX"``, ``"ZYX"`` or ``"YXC"``.

    As `read_image`, for those who must tell a stack from a colour image.
    """
    path = Path(path)
    _check_exists(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(
            f"{path.name}: the format {path.suffix or '(no ending)'} is not known; save the image "
            "as TIFF (in Fiji: File > Save As > Tiff)"
        )
    image, axes = decode(path, scene)
    if not image.size or image.dtype.kind not in "biufc":
        raise ValueError(
            f"{path.name}: shape {image.shape} and type {image.dtype} are no image; save an array "
            "of numbers with at least one pixel"
        )
    return order_axes(image, axes)


def _check_exists(path):
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check folder, spelling and ending")


def read_labels(path):
    """Return the label image or mask in a file as int32, with 0 as background.

    Parameters
    ----------
    path : path
        One value per object (or 0 and one value, for a mask), in any lossless format.

    Returns
    -------
    ndarray of int32
        YX or ZYX.

    Raises
    ------
    ValueError
        As `read_image`; and if the file is a JPEG, has colours, or holds anything but whole
        numbers from 0 to 2147483647.

    Notes
    -----
    Grey values stored as three equal colours are taken as one.
    """
    path = Path(path)
    labels, axes = read_image_axes(path)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise ValueError(
            f"{path.name}: a JPEG blurs the edges of labels; save masks as TIFF or PNG, or turn "
            "this one into labels with labels_from_mask(read_image(path) > 127)"
        )
    if axes.endswith("C") and (labels == labels[..., :1]).all():
        labels, axes = labels[..., 0], axes[:-1]
    if axes.endswith("C"):
        raise ValueError(
            f"{path.name}: the mask has {labels.shape[-1]} colour channels; one channel with a "
            "number per object is needed, fix_labels(mask) turns colours into numbers"
        )
    return check_labels(labels, path.name).astype(np.int32)


def check_labels(labels, name):
    """Return labels as they are, as an array, or raise an error that says what is wrong.

    Parameters
    ----------
    labels : array_like
        Any shape.
    name : str
        What the error calls them, such as the name of a file.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If there is anything but whole numbers from 0 to 2147483647.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iub":
        whole = labels.dtype.kind == "f" and np.isfinite(labels).all()
        if not whole or (labels != np.round(labels)).any():
            raise ValueError(
                f"{name}: labels must be whole numbers, found {labels.dtype} with fractions or "
                "NaN; threshold a probability map first: labels_from_mask(mask > 0.5)"
            )
    if labels.size and (labels.min() < 0 or labels.max() > np.iinfo(np.int32).max):
        raise ValueError(
            f"{name}: labels must lie between 0 and 2147483647, found {labels.min()} to "
            f"{labels.max()}; give negative labels a meaning first: np.maximum(labels, 0)"
        )
    return labels


def read_pixel_size(path, *, scene=None):
    """Return the size of a pixel or voxel in µm, as the file states it.

    Parameters
    ----------
    path : path
        TIFF (OME, ImageJ or resolution tags), CZI, ND2, LIF or OME-Zarr.
    scene : str or int, optional
        As in `read_image`.

    Returns
    -------
    tuple of float or None
        (y, x) or (z, y, x), as the image has axes; None where the file does not state all of
        them, and for formats that have no place for it.

    Notes
    -----
    OME's description goes before ImageJ's, and that before the resolution tags. Resolutions
    of 1200 dpi and coarser in the tags alone are print settings and give None.
    """
    path = Path(path)
    _check_exists(path)
    sizes = [float(size) for size in stored_pixel_size(path, scene).values()]
    known = sizes and all(math.isfinite(size) and size > 0 for size in sizes)
    return tuple(sizes) if known else None


def write_image(path, image, *, axes=None, pixel_size_um=None, overwrite=False):
    """Write an image as a TIFF file that Fiji opens with its pixel size.

    Parameters
    ----------
    path : path
        Ends in .tif or .tiff. Its folder is made where it does not exist.
    image : ndarray
        YX, ZYX, YXC or ZYXC. bool is written as 0 and 255.
    axes : str, optional
        The axes of `image`. By default YX or, for three dimensions, YXC if the last one has 2
        to 4 entries and ZYX otherwise; ZYXC for four.
    pixel_size_um : tuple of float, optional
        (y, x) or (z, y, x) in µm.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    pathlib.Path
        The written file.

    Raises
    ------
    ValueError
        If the file exists, its name has another ending, or axes or pixel size do not fit the
        image.

    Notes
    -----
    uint8, uint16 and float32 are written in ImageJ's own form. Other types (int32, uint32,
    float64 ...), which that form does not have, keep their values in an OME-TIFF.
    """
    image = np.asarray(image)
    image = image.astype(np.uint8) * 255 if image.dtype == bool else image
    return write_tiff(path, image, axes=axes, pixel_size_um=pixel_size_um, overwrite=overwrite)


def write_labels(path, labels, *, pixel_size_um=None, overwrite=False):
    """Write a label image as a small lossless TIFF file.

    Parameters
    ----------
    path : path
        Ends in .tif or .tiff. Its folder is made where it does not exist.
    labels : ndarray of integers
        YX or ZYX, 0 for background.
    pixel_size_um : tuple of float, optional
        (y, x) or (z, y, x) in µm.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    pathlib.Path
        The written file: uint16, or uint32 where a label is above 65535; zlib-compressed.

    Raises
    ------
    ValueError
        If labels are negative, NaN or floating-point numbers, or as `write_image`.
    """
    labels = np.asarray(labels)
    name = Path(path).name
    if labels.dtype.kind == "f":
        raise ValueError(
            f"{name}: labels must be integers, found {labels.dtype}; if they are whole numbers "
            "give labels.astype('int32')"
        )
    labels = check_labels(labels, name)
    dtype = np.uint32 if labels.size and labels.max() > 65_535 else np.uint16
    axes = "ZYX"[3 - labels.ndim :] if labels.ndim in (2, 3) else None
    return write_tiff(
        path,
        labels.astype(dtype),
        axes=axes,
        pixel_size_um=pixel_size_um,
        overwrite=overwrite,
        compression="zlib",
    )
