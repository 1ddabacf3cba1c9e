"""The data sets this project knows: facts and addresses, read from `registry.toml`.

The patches of VoidSeg are entered in `voidseg.py`, made from the entries of their images.
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from .voidseg import voidseg_entries

__all__ = ["REGISTRY", "DataSet", "RemoteFile", "load_registry"]

REGISTRY = Path(__file__).with_name("registry.toml")


@dataclass(frozen=True)
class RemoteFile:
    """One file to download.

    Attributes
    ----------
    name : str
        File name in the cache and on a mirror.
    folder : str
        Folder in the cache and on a mirror; data sets made from the same file share it.
    urls : list of str
        Addresses that deliver the same bytes, in order of preference.
    sha256 : str or None
        Known checksum; None means that the first download is pinned.
    """

    name: str
    folder: str
    urls: list[str]
    sha256: str | None = None


@dataclass(frozen=True)
class DataSet:
    """What the registry says of one data set.

    Attributes
    ----------
    name, title, modality, task, licence, citation, source, sizes : str
        Facts; `task` is "instance" or "semantic", `source` the page of the data set, `sizes`
        counts and bytes in words.
    axes : str
        Axes of one image: YX, ZYX or YXC.
    layout : str
        A key of `data_download.layouts.LAYOUTS`.
    files : list of RemoteFile
        What to download.
    pixel_size_um : list of float or None
        In the order of the axes, without C; None if it is not known or not the same for all.
    notes : str
        What else the user should know.
    options : dict
        Keyword options of the conversion; see the head of `registry.toml`.
    """

    name: str
    title: str
    modality: str
    task: str
    axes: str
    licence: str
    citation: str
    source: str
    sizes: str
    layout: str
    files: list[RemoteFile]
    pixel_size_um: list[float] | None = None
    notes: str = ""
    options: dict = field(default_factory=dict)


def load_registry(path=REGISTRY):
    """Return all data sets of a registry file.

    Parameters
    ----------
    path : path
        A TOML file with one table per data set; see the head of `registry.toml`.

    Returns
    -------
    dict of str to DataSet
        In the order of the file, then the patches made from them.

    Raises
    ------
    ValueError
        If an entry lacks a field or has one that is not known.

    Examples
    --------
    >>> load_registry()["lucchi"].axes
    'ZYX'
    """
    with open(path, "rb") as stream:
        tables = tomllib.load(stream)
    files = {
        name: [RemoteFile(folder=name, **file) for file in table["files"]]
        for name, table in tables.items()
        if "files" in table
    }
    entries = {name: _make_entry(name, table, files) for name, table in tables.items()}
    return entries | voidseg_entries(entries)


def _make_entry(name, table, files):
    facts = {key: value for key, value in table.items() if key not in ("files", "files_of")}
    owners = [name, *table.get("files_of", [])]
    needed = [file for owner in owners for file in files.get(owner, [])]
    if not needed:
        raise ValueError(f"registry entry [{name}] names no files: add files or files_of")
    try:
        return DataSet(name=name, files=needed, **facts)
    except TypeError as error:
        raise ValueError(f"registry entry [{name}]: {error}") from error
