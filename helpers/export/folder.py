"""Export the label images of a folder for other programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from helpers.images import file_stem, read_image, read_labels, read_pixel_size, write_labels
from helpers.layouts import list_images

__all__ = ["KINDS", "export_folder", "find_labels"]

KINDS = ("roi", "geojson", "table", "labels")


def export_folder(
    labels: str | Path,
    kind: str,
    out: str | Path | None = None,
    *,
    images: str | Path | None = None,
    pixel_size_um: tuple[float, ...] | None = None,
    overwrite: bool = False,
    show: Callable[[str], object] = print,
) -> list[Path]:
    """Write the objects of label images in another program's format.

    Parameters
    ----------
    labels : path
        A label image, a folder of them, or a run folder, whose ``labels`` (else ``mask``) are
        taken.
    kind : {"roi", "geojson", "table", "labels"}
        ImageJ/Fiji ROI zip, QuPath GeoJSON, one table ``objects.csv`` of all objects, or label
        TIFFs with the pixel size.
    out : path, optional
        Folder for the results; by default the folder of the labels with ``_KIND`` added.
    images : path, optional
        Folder with the raw images of equal names, for intensities and pixel sizes.
    pixel_size_um : tuple of float, optional
        Along the axes, where the files do not state it.
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
        If there are no labels, or an image of the same name is missing in `images`.
    ValueError
        If `kind` is unknown, a file cannot be read, or a result exists already.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}: give one of {', '.join(KINDS)}")
    files, root = find_labels(Path(labels).expanduser().absolute())
    out = Path(out).expanduser().absolute() if out else root.with_name(f"{root.name}_{kind}")
    raw = {file_stem(path): path for path in list_images(images)} if images else {}
    if images and (lacking := [p.name for p in files if file_stem(p) not in raw]):
        raise FileNotFoundError(f"{images} lacks an image of the name of {lacking[0]}")
    written, tables = [], []
    if kind == "table" and (out / "objects.csv").exists() and not overwrite:
        raise ValueError(f"{out / 'objects.csv'} exists already: choose --out, or --overwrite")
    for path in files:
        image = raw.get(file_stem(path))
        y = read_labels(path)
        size = pixel_size_um or read_pixel_size(path) or (image and read_pixel_size(image))
        size = size if size and len(size) == y.ndim else None
        table = _measure(path, y, image, size) if kind in ("table", "geojson") else None
        tables.append(table)
        if kind != "table":
            target = _write(kind, out / file_stem(path), y, size, table, overwrite)
            written += [target] if target else []
        show(f"{path.name}: {len(set(y[y > 0].tolist()))} objects")
    if kind == "table":
        written.append(_write_table(tables, out / "objects.csv"))
    return written


def find_labels(path: Path) -> tuple[list[Path], Path]:
    """Return the label images of a file, folder or run folder, and the folder that holds them."""
    if path.is_file():
        return [path], path.parent
    for inner in ("labels", "mask", "masks"):
        if (path / inner).is_dir():
            path = path / inner
            break
    files = list_images(path)
    if not files:
        raise FileNotFoundError(
            f"{path} holds no label images: give a folder with TIFF or PNG files"
        )
    return files, path


def _measure(path: Path, y, image: Path | None, size):
    from helpers.export.table import measure_labels

    table = measure_labels(y, read_image(image) if image else None, pixel_size_um=size)
    table.insert(0, "image", file_stem(path))
    return table


def _write(kind: str, stem: Path, y, size, table, overwrite: bool) -> Path | None:
    if kind == "roi":
        from helpers.export.rois import write_imagej_rois

        target = stem.with_name(f"{stem.name}.zip")
        return write_imagej_rois(target, y, overwrite=overwrite) if y.any() else None
    if kind == "geojson":
        from helpers.export.geojson import write_geojson

        target = stem.with_name(f"{stem.name}.geojson")
        return write_geojson(target, y, measurements=table, overwrite=overwrite)
    target = stem.with_name(f"{stem.name}.tif")
    return write_labels(target, y, pixel_size_um=size, overwrite=overwrite)


def _write_table(tables, path: Path) -> Path:
    import pandas as pd

    from helpers.storage import write_whole

    filled = [table for table in tables if len(table)] or tables[:1]
    with write_whole(path) as part:
        pd.concat(filled, ignore_index=True).to_csv(part, index=False, float_format="%.6g")
    return path
