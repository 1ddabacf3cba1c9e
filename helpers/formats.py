"""The decoders behind `helpers.images`: one function per kind of file."""

import math
import struct
from contextlib import contextmanager
from importlib.util import find_spec
from xml.etree import ElementTree

import numpy as np
import tifffile
from PIL import Image

__all__ = [
    "IMAGE_SUFFIXES",
    "TIFF_SUFFIXES",
    "decode",
    "load_npz",
    "order_axes",
    "stored_pixel_size",
]

TIFF_SUFFIXES = (".tif", ".tiff")
PILLOW_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
NUMPY_SUFFIXES = (".npy", ".npz")
BIOIO_READERS = {
    ".czi": "bioio-czi",
    ".nd2": "bioio-nd2",
    ".lif": "bioio-lif",
    ".zarr": "bioio-ome-zarr",
}
IMAGE_SUFFIXES = (*TIFF_SUFFIXES, *PILLOW_SUFFIXES, *NUMPY_SUFFIXES, *BIOIO_READERS)

UM_PER_UNIT = {
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("å", "angstrom", "a"), 1e-4),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
    **dict.fromkeys(("inch", "in"), 25_400.0),
}
# 1200 dpi and coarser (21 um) are the settings of printers and screens, not of microscopes.
PRINT_PIXEL_UM = 21.0


def decode(path, scene=None):
    """Return the array in a file and its axes in the file's own order.

    `path` has one of `IMAGE_SUFFIXES`; see `helpers.images.read_image` for the rules.
    """
    suffix = path.suffix.lower()
    if suffix in BIOIO_READERS:
        reader = _open_bioio(path, scene)
        return reader.data, reader.dims.order
    if suffix in TIFF_SUFFIXES:
        return _decode_tiff(path)
    return _decode_pillow(path) if suffix in PILLOW_SUFFIXES else _decode_numpy(path)


@contextmanager
def _reading(path):
    """Turn whatever a decoder raises into one sentence that names the file."""
    try:
        yield
    except Exception as error:
        if "allow_pickle" in str(error):
            reason = (
                "holds Python objects, which can carry harmful code and are not loaded; save the "
                "arrays again with one shape and dtype, or one file per image"
            )
        else:
            reason = (
                f"cannot be read ({error}): the file is damaged, cut off or not what its ending "
                "says; export or copy it again"
            )
        raise ValueError(f"{path.name} {reason}") from error


def _decode_tiff(path):
    with _reading(path), tifffile.TiffFile(path) as file:
        series = file.series[0]
        # tifffile gives zeros, or fewer planes, for what a cut-off file lacks, silently
        if _has_lost_page(file) or any(_ends_after(page, path) for page in series.pages):
            raise OSError("the data end before the image does")
        return series.asarray(), series.axes


def _ends_after(page, path):
    """Return whether strips of a page lie beyond the end of its file; None is a lost page."""
    size = path.stat().st_size
    return page is None or any(
        start + count > size
        for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)
    )


def _has_lost_page(file):
    """Return whether the last page found announces another one."""
    tiff, stream = file.tiff, file.filehandle
    stream.seek(file.pages[len(file.pages) - 1].offset)
    n_tags = struct.unpack(tiff.tagnoformat, stream.read(tiff.tagnosize))[0]
    stream.seek(n_tags * tiff.tagsize, 1)
    return any(stream.read(tiff.offsetsize))


def _decode_pillow(path):
    with _reading(path), Image.open(path) as file:
        is_png = file.format == "PNG"
        if is_png and _is_16_bit_colour(path):
            import imagecodecs  # Pillow cuts these to 8 bit

            image = imagecodecs.png_decode(path.read_bytes())
        else:
            image = np.asarray(file)
    if is_png and image.ndim == 3 and image.shape[-1] in (2, 4):
        image = image[..., :-1]  # the last one is opacity
    return image, "YXC"[: image.ndim]


def _is_16_bit_colour(path):
    with open(path, "rb") as stream:
        header = stream.read(26)
    return header[24] == 16 and header[25] in (2, 6)


def load_npz(path):
    """Return the arrays of an npz file by name; files with Python objects are refused."""
    with _reading(path), np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _decode_numpy(path):
    if path.suffix.lower() == ".npz":
        arrays = load_npz(path)
        if len(arrays) != 1:
            raise ValueError(
                f"{path.name} holds {len(arrays)} arrays ({', '.join(list(arrays)[:6])}): save one "
                "image per file, or name them X_train, Y_train, ... and use load_dataset"
            )
        (image,) = arrays.values()
    else:
        with _reading(path):
            image = np.load(path, allow_pickle=False)
    if image.ndim > 2:
        image = np.squeeze(image)
    if image.ndim not in (2, 3, 4):
        raise ValueError(
            f"{path.name} holds an array of shape {image.shape}: expected YX, ZYX, YXC or ZYXC"
        )
    has_channels = image.ndim == 4 or (image.ndim == 3 and image.shape[-1] <= 4)
    return image, "ZYX"[3 - image.ndim + has_channels :] + "C" * has_channels


def _open_bioio(path, scene=None):
    plugin = BIOIO_READERS[path.suffix.lower()]
    if not (find_spec("bioio") and find_spec(plugin.replace("-", "_"))):
        raise ImportError(
            f"{path.name}: this format needs an optional reader; install it with\n"
            f"    pip install bioio {plugin}\n"
            "or save the image as OME-TIFF in the microscope's software or in Fiji"
        )
    with _reading(path):
        from bioio import BioImage

        image = BioImage(path)
        scenes = list(image.scenes)
    if scene is None and len(scenes) > 1:
        raise ValueError(
            f"{path.name} holds {len(scenes)} images ({', '.join(scenes[:5])}): choose one with "
            "scene=NAME, or save each as a TIFF file"
        )
    if scene is not None and scene not in scenes and scene not in range(len(scenes)):
        raise ValueError(f"scene={scene!r} is not in {path.name}: it has {', '.join(scenes)}")
    image.set_scene(scene or 0)
    return image


def order_axes(image, axes):
    """Drop axes of length one and put the others in the order T, Z, Y, X, C."""
    names = {"S": "C", "Q": "Z", "I": "Z", "R": "T"}
    axes = "".join(names.get(axis, axis) for axis in axes)
    keep = [i for i, axis in enumerate(axes) if axis in "YX" or image.shape[i] > 1]
    image = image.reshape([image.shape[i] for i in keep])
    axes = "".join(axes[i] for i in keep)
    order = sorted(range(len(axes)), key=lambda i: ("TZYXC".find(axes[i]), i))
    return image.transpose(order), "".join(axes[i] for i in order)


def stored_pixel_size(path, scene=None):
    """Return the pixel size in µm by axis, such as ``{"Y": 0.1, "X": 0.1}``, NaN if unknown.

    Z is there if the image has several planes. The dict is empty for formats without a place
    for pixel sizes.
    """
    suffix = path.suffix.lower()
    if suffix in BIOIO_READERS:
        reader = _open_bioio(path, scene)
        sizes = [size or math.nan for size in reader.physical_pixel_sizes]
        is_3d = reader.dims.Z > 1
    elif suffix in TIFF_SUFFIXES:
        with _reading(path), tifffile.TiffFile(path) as file:
            sizes = _ome_sizes(file) or _tag_sizes(file)
            series = file.series[0]
            placeholder = np.broadcast_to(np.uint8(0), series.shape)
            is_3d = "Z" in order_axes(placeholder, series.axes)[1]
    else:
        return {}
    return dict(zip("ZYX"[not is_3d :], sizes[not is_3d :], strict=True))


def _ome_sizes(file):
    """Return (z, y, x) from the OME description, or None if the file has none."""
    if not file.is_ome:
        return None
    pixels = ElementTree.fromstring(file.ome_metadata).find(".//{*}Pixels").attrib
    return tuple(
        float(pixels.get(f"PhysicalSize{axis}", "nan"))
        * _um_per_unit(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "ZYX"
    )


def _tag_sizes(file):
    """Return (z, y, x) from the resolution tags, in the unit ImageJ states where it wrote them."""
    tags, imagej = file.pages[0].tags, file.imagej_metadata or {}
    y, x = (_pixels_per_unit(tags.get(name)) for name in ("YResolution", "XResolution"))
    unit = imagej.get("unit")
    if unit:
        units = [_um_per_unit(imagej.get(f"{axis}unit", unit)) for axis in "zyx"]
        return units[0] * imagej.get("spacing", math.nan), units[1] / y, units[2] / x
    tag = tags.get("ResolutionUnit")
    um = {2: 25_400.0, 3: 10_000.0}.get(int(tag.value) if tag else 1, math.nan)
    return math.nan, *(um / n if um / n < PRINT_PIXEL_UM else math.nan for n in (y, x))


def _pixels_per_unit(tag):
    pixels, unit = tag.value if tag else (0, 1)
    return pixels / unit if pixels and unit else math.nan


def _um_per_unit(unit):
    # ImageJ writes \u00B5m for the sign that its own encoding lacks
    name = unit.replace("\\u00B5", "µ").replace("\\u00b5", "µ").strip().lower()
    return UM_PER_UNIT.get(name, math.nan)
