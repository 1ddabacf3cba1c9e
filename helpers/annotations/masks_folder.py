"""Drawings of Fiji, QuPath, labelme, COCO or Supervisely to a folder of label images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from helpers.images import file_stem, read_image_axes, read_pixel_size, write_labels
from helpers.layouts import list_images

__all__ = ["make_masks"]

OUTLINES = (".zip", ".roi", ".geojson", ".gz")
DRAWN_TAIL = ("_rois", "-rois", "_RoiSet", "_roi")


def make_masks(
    drawings: str | Path,
    images: str | Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    show: Callable[[str], object] = print,
) -> list[Path]:
    """Write one label image for each image that has been drawn on.

    Parameters
    ----------
    drawings : path
        Folder with ``NAME.zip`` or ``NAME.roi`` (ImageJ, Fiji), ``NAME.geojson`` (QuPath) or
        ``NAME.json`` (labelme); a COCO file; or a Supervisely project.
    images : path
        Folder with the images, whose names, sizes and pixel sizes count.
    out : path
        Gets ``NAME.tif``, best the folder ``masks`` beside ``images``.
    overwrite : bool
        Replace existing files.
    show : callable
        Gets one line of text per image.

    Returns
    -------
    list of pathlib.Path
        The written files.

    Raises
    ------
    FileNotFoundError
        If there are no drawings, or a drawing has no image of its name.
    ValueError
        If a file is damaged, a size differs, or a label image exists already.
    """
    by_name = {file_stem(path): path for path in list_images(images)}
    written = []
    for name, read in _readers(Path(drawings).expanduser()).items():
        if name not in by_name:
            raise FileNotFoundError(
                f"{images} has no image named {name!r}, as a drawing is: rename one of the two"
            )
        image, axes = read_image_axes(by_name[name])
        shape = image.shape[: len(axes.removesuffix("C"))]
        labels = read(shape)
        if labels.shape != shape:
            raise ValueError(
                f"{name}: drawn on {labels.shape}, the image has {shape}: draw on the same image"
            )
        size = read_pixel_size(by_name[name])
        path = Path(out) / f"{name}.tif"
        written.append(write_labels(path, labels, pixel_size_um=size, overwrite=overwrite))
        show(f"{path.name}: {len(set(labels[labels > 0].tolist()))} objects")
    return written


def _readers(drawings: Path) -> dict[str, Callable]:
    """Return for each image name a function that draws its labels, given the shape."""
    from helpers import annotations

    if not drawings.exists():
        raise FileNotFoundError(f"{drawings} does not exist: check the path of the drawings")
    if (drawings / "meta.json").is_file():
        return _as_readers(annotations.read_supervisely(drawings))
    if drawings.is_file() and drawings.suffix == ".json":
        return _as_readers(annotations.read_coco(drawings))
    files = [drawings] if drawings.is_file() else sorted(drawings.iterdir())
    outlines = {_drawn_name(p): _outline_reader(p) for p in files if p.suffix in OUTLINES}
    if outlines:
        return outlines
    if any(path.suffix == ".json" for path in files):
        return _as_readers(annotations.read_labelme(drawings))
    raise FileNotFoundError(
        f"{drawings} holds no drawings: expected are ROI .zip files of Fiji, .geojson of QuPath, "
        ".json of labelme or COCO, or a Supervisely project with meta.json"
    )


def _as_readers(found) -> dict[str, Callable]:
    return {file_stem(one.name): lambda shape, y=one.labels: y for one in found}


def _drawn_name(path: Path) -> str:
    name = path.name.removesuffix(".gz").removesuffix(".geojson")
    name = file_stem(name) if name.endswith((".zip", ".roi", ".tif", ".tiff")) else name
    for tail in DRAWN_TAIL:
        name = name.removesuffix(tail)
    return file_stem(name) if name.lower().endswith((".tif", ".tiff", ".png")) else name


def _outline_reader(path: Path) -> Callable:
    from helpers import annotations

    is_roi = path.suffix in (".zip", ".roi")
    read = annotations.read_imagej_rois if is_roi else annotations.read_geojson

    def labels_of(shape):
        if len(shape) != 2:
            raise ValueError(
                f"{path.name}: drawings on stacks {shape} cannot be read, only on planes"
            )
        return read(path, shape).labels

    return labels_of
