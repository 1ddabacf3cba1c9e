"""Height maps from the files of AFM makers, by way of the optional package AFMReader."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers.images import write_image

__all__ = ["AFM_SUFFIXES", "HeightMap", "convert_afm_folder", "read_afm"]

# by ending: module and function of AFMReader, then the names of height channels, best first
_READERS = {
    ".gwy": ("gwy", "load_gwy", ("Height", "ZSensor", "Height Sensor", "Topography", "Z")),
    ".spm": ("spm", "load_spm", ("Height", "Height Sensor", "ZSensor")),
    ".ibw": ("ibw", "load_ibw", ("HeightTracee", "HeightTrace", "HeightRetrace", "ZSensorTrace")),
    ".jpk": ("jpk", "load_jpk", ("height_trace", "measuredHeight_trace", "height_retrace")),
}
AFM_SUFFIXES = tuple(_READERS)


class HeightMap(NamedTuple):
    """A height map in physical units.

    Attributes
    ----------
    height : ndarray of float32, YX
        Heights in nm, not flattened.
    pixel_size_um : tuple of float
        (y, x) in µm.
    channel : str
        Name of the channel in the file.
    """

    height: np.ndarray
    pixel_size_um: tuple[float, float]
    channel: str


def read_afm(path: str | Path, *, channel: str | None = None) -> HeightMap:
    """Return the height map in a Gwyddion, Bruker, Asylum or JPK file.

    Parameters
    ----------
    path : path
        Ends in .gwy, .spm, .ibw or .jpk.
    channel : str, optional
        Name of the channel. By default the usual names of height are tried.

    Returns
    -------
    HeightMap
        Heights in nm and the pixel size.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If AFMReader is not installed; the message has the command that installs it.
    ValueError
        If the ending is not known, the file cannot be read, has no such channel, or is a
        Gwyddion file with a map that is not square.

    Notes
    -----
    AFMReader 0.0.7 mixes up rows and columns of Gwyddion maps that are not square; these are
    refused. It gives one pixel size for both axes.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check folder, spelling and ending")
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise ValueError(
            f"{path.name}: the ending is none of {', '.join(_READERS)}; images (TIFF, PNG) are "
            "read by helpers.images.read_image, other AFM files can be exported from Gwyddion"
        )
    load, usual = _find_reader(path, suffix)
    name, image, nm_per_pixel = _try_channels(path, load, (channel,) if channel else usual)
    height = np.asarray(image, np.float32)
    if height.ndim != 2 or not np.isfinite(nm_per_pixel) or not nm_per_pixel > 0:
        raise ValueError(
            f"{path.name}: channel {name!r} has shape {height.shape} and {nm_per_pixel} nm per "
            "pixel, which is no height map; name another channel"
        )
    if suffix == ".gwy" and height.shape[0] != height.shape[1]:
        raise ValueError(
            f"{path.name}: the map is not square ({height.shape}), which the reader mixes up; "
            "crop it to a square in Gwyddion, or export it as TIFF"
        )
    return HeightMap(height, (nm_per_pixel / 1000,) * 2, name)


def _find_reader(path: Path, suffix: str) -> tuple[Callable, tuple[str, ...]]:
    if find_spec("AFMReader") is None:
        raise ImportError(
            f"{path.name}: AFM files need an optional reader; install it with\n"
            "    pip install AFMReader\n"
            "or export the height channel from Gwyddion as TIFF"
        )
    module, function, usual = _READERS[suffix]
    return getattr(import_module(f"AFMReader.{module}"), function), usual


def _try_channels(path: Path, load: Callable, channels: tuple[str, ...]):
    for name in channels:
        try:
            image, nm_per_pixel = load(path, name)
        except (FileNotFoundError, ImportError):
            raise
        except Exception as error:  # each format's decoder has its own kinds of errors
            last = error
            if "channel list" not in str(error):
                break
        else:
            return name, image, float(nm_per_pixel)
    reason = str(last)
    if "channel list" in reason:
        raise ValueError(f"{path.name}: {reason}; name one of these as channel=") from last
    raise ValueError(
        f"{path.name} cannot be read ({reason}): the file is damaged or of another version; open "
        "it in Gwyddion and export the height as TIFF"
    ) from last


def convert_afm_folder(
    source: str | Path,
    target: str | Path,
    *,
    channel: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the height maps of a folder as TIFF files that every notebook can read.

    Parameters
    ----------
    source : path
        Folder with AFM files; others in it are left out.
    target : path
        Folder for the TIFF files, such as ``my_data/images``; made if need be.
    channel : str, optional
        As in :func:`read_afm`.
    overwrite : bool
        Replace existing files.

    Returns
    -------
    list of pathlib.Path
        The written files: float32, nm, with the pixel size; named as the sources.

    Raises
    ------
    ValueError
        If there is no AFM file, two would get one name, or as in :func:`read_afm`.
    """
    paths = sorted(p for p in Path(source).iterdir() if p.suffix.lower() in AFM_SUFFIXES)
    if not paths:
        raise ValueError(f"{source} has no files ending in {', '.join(AFM_SUFFIXES)}")
    if len({path.stem for path in paths}) < len(paths):
        raise ValueError(f"{source} has files of one name with different endings: rename one")
    written = []
    for path in paths:
        found = read_afm(path, channel=channel)
        out = Path(target) / f"{path.stem}.tif"
        size = found.pixel_size_um
        written.append(write_image(out, found.height, pixel_size_um=size, overwrite=overwrite))
    return written
