"""The TIFF encoder behind `helpers.images`: ImageJ's form where it fits, OME's elsewhere."""

from pathlib import Path

import numpy as np
import tifffile

from helpers.formats import TIFF_SUFFIXES, order_axes

__all__ = ["write_tiff"]

IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
OME_DTYPES = ("int8", "int16", "int32", "uint32", "float64")


def write_tiff(path, image, *, axes, pixel_size_um, overwrite, compression=None):
    """Write an array as ImageJ or OME-TIFF; see `helpers.images.write_image` for the rules."""
    path = Path(path)
    if path.suffix.lower() not in TIFF_SUFFIXES:
        raise ValueError(f"{path.name}: images are written as TIFF; end the name in .tif")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists already: give overwrite=True to replace it")
    if image.dtype.name not in IMAGEJ_DTYPES + OME_DTYPES:
        raise ValueError(
            f"{path.name}: TIFF readers do not know {image.dtype}; give image.astype('float32'), "
            "or 'int32' for whole numbers"
        )
    image, axes = order_axes(image, _check_axes(image, axes))
    size = _check_pixel_size(pixel_size_um, axes)
    is_imagej = image.dtype.name in IMAGEJ_DTYPES
    options = {"imagej": True} if is_imagej else {"ome": True}
    if axes.endswith("C") and image.dtype == np.uint8 and image.shape[-1] == 3:
        axes, options["photometric"] = axes[:-1] + "S", "rgb"
    elif axes.endswith("C"):
        image, axes = np.moveaxis(image, -1, -3), axes[:-3] + "CYX"
    if size:
        options["resolution"] = (1 / size["X"], 1 / size["Y"])
    metadata = _imagej_size(size) if is_imagej else _ome_size(size)
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(
        path, image, metadata={"axes": axes, **metadata}, compression=compression, **options
    )
    return path


def _imagej_size(size):
    spacing = {"spacing": size["Z"]} if "Z" in size else {}
    return {"unit": "um", **spacing} if size else {}


def _ome_size(size):
    values = {f"PhysicalSize{axis}": um for axis, um in size.items()}
    return values | {f"{name}Unit": "µm" for name in values}


def _check_axes(image, axes):
    if axes is None:
        is_colour = image.ndim == 3 and image.shape[-1] in (2, 3, 4)
        axes = {2: "YX", 3: "YXC" if is_colour else "ZYX", 4: "ZYXC"}.get(image.ndim, "")
    known = set(axes) <= set("TZYXC") and {"Y", "X"} <= set(axes) and len(set(axes)) == len(axes)
    if len(axes) != image.ndim or not known:
        raise ValueError(
            f"image has shape {image.shape}, axes is {axes!r}: name each axis once, with Y and X "
            "and, where there are, T, Z and C, for example axes='ZYX'"
        )
    return axes


def _check_pixel_size(pixel_size_um, axes):
    """Return the sizes by axis, such as {"Y": 0.1, "X": 0.1}; empty if none are given."""
    if pixel_size_um is None:
        return {}
    spatial = [axis for axis in axes if axis in "ZYX"]
    sizes = np.atleast_1d(np.asarray(pixel_size_um, float))
    if sizes.shape != (len(spatial),) or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ValueError(
            f"pixel_size_um is {pixel_size_um!r}: give one size in µm, above 0, for each of the "
            f"axes {', '.join(spatial)}"
        )
    return dict(zip(spatial, sizes.tolist(), strict=True))
