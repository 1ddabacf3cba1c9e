"""Unpacking of downloaded archives, which are not trusted."""

import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

__all__ = ["check_kind", "read_npz", "unpack"]

# Far above any data set of the registry, far below what fills a disk by surprise.
MAX_TOTAL_BYTES = 64 * 2**30
MAX_MEMBERS = 200_000
# Empty masks shrink almost a thousandfold, so the ratio counts only for large contents.
MAX_RATIO = 200
RATIO_FREE_BYTES = 2**30

PLAIN_SUFFIXES = (".tif", ".tiff", ".png", ".npz")
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
JUNK = ("__MACOSX", ".DS_Store", "Thumbs.db")
CHUNK = 2**20
# What the decoders of the standard library raise on damaged or unknown content.
DAMAGE_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
)


@dataclass(frozen=True)
class Member:
    """One file of an archive: its name there, declared size, and how to open it."""

    name: str
    size: int
    open: object


def unpack(archive, folder):
    """Unpack an archive into a new folder and return that folder.

    Parameters
    ----------
    archive : path
        .zip, .tar, .tar.gz, .tgz, .tar.bz2 or .tar.xz; a single .tif, .tiff, .png or .npz is
        copied as it is. The archive is only read.
    folder : path
        Must not exist yet.

    Returns
    -------
    pathlib.Path
        `folder`.

    Raises
    ------
    ValueError
        If the file is no such archive, or if a member would be written outside the folder
        (absolute path, `..`, drive letter), is a link or device, occurs twice, is encrypted,
        or if the whole is larger than `MAX_TOTAL_BYTES`, has more than `MAX_MEMBERS` members,
        or is more than `RATIO_FREE_BYTES` and `MAX_RATIO` times the archive.

    Notes
    -----
    All members are judged before the first is written. Sizes are checked twice: as declared
    by the archive and as bytes really written. A refused archive leaves nothing behind.
    """
    archive, folder = Path(archive), Path(folder)
    check_kind(archive)
    folder.mkdir(parents=True)
    try:
        if archive.name.lower().endswith(PLAIN_SUFFIXES):
            shutil.copyfile(archive, folder / archive.name)
        else:
            with _open_members(archive) as members:
                _check_members(members, archive)
                for member in members:
                    _write_member(member, folder, archive)
    except (*DAMAGE_ERRORS, ValueError) as error:
        shutil.rmtree(folder)
        if isinstance(error, ValueError):
            raise
        raise ValueError(f"{archive} cannot be unpacked ({error}): download it again") from error
    return folder


def check_kind(path, name=None):
    """Raise a ValueError if a file's content is not what its name says.

    Parameters
    ----------
    path : path
        The file to look at.
    name : str, optional
        Name whose ending counts; default: that of `path`.

    Raises
    ------
    ValueError
        If the ending is not known or the content differs, as when a server sends an error
        page in place of an archive.
    """
    name = (name or Path(path).name).lower()
    with open(path, "rb") as stream:
        head = stream.read(8)
    if name.endswith((".zip", ".npz")):
        good = zipfile.is_zipfile(path)
    elif name.endswith(TAR_SUFFIXES):
        good = tarfile.is_tarfile(path)
    elif name.endswith((".tif", ".tiff")):
        good = head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    elif name.endswith(".png"):
        good = head == b"\x89PNG\r\n\x1a\n"
    else:
        endings = ", ".join((".zip", *TAR_SUFFIXES, *PLAIN_SUFFIXES))
        raise ValueError(f"{name}: unknown kind of file, expected one of {endings}")
    if not good:
        kind = "an HTML page" if head.lstrip()[:1] == b"<" else "damaged or something else"
        raise ValueError(f"{name} is not what its name says, but {kind}")


@contextmanager
def _open_members(archive):
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as stream:
            yield list(_zip_members(stream, archive))
    else:
        with tarfile.open(archive) as stream:
            yield list(_tar_members(stream, archive))


def _zip_members(stream, archive):
    for info in stream.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ValueError(f"{archive.name}: {info.filename} is a link or device; refused")
        if info.flag_bits & 1:
            raise ValueError(f"{archive.name}: {info.filename} is encrypted; refused")
        if not info.is_dir():
            # orig_filename: zipfile itself cuts names at a NUL and turns separators
            yield Member(info.orig_filename, info.file_size, lambda i=info: stream.open(i))


def _tar_members(stream, archive):
    for info in stream:
        if not (info.isreg() or info.isdir()):
            raise ValueError(f"{archive.name}: {info.name} is a link or device; refused")
        if info.isreg():
            yield Member(info.name, info.size, lambda i=info: stream.extractfile(i))


def _check_members(members, archive):
    if len(members) > MAX_MEMBERS:
        raise ValueError(f"{archive.name}: {len(members)} members, limit {MAX_MEMBERS}; refused")
    seen = set()
    for member in members:
        _check_name(member.name, archive)
        # Windows and macOS would write both into one file
        if member.name.lower() in seen:
            raise ValueError(f"{archive.name}: {member.name} occurs twice; refused")
        seen.add(member.name.lower())
    _check_size(sum(member.size for member in members), archive)


def _check_name(name, archive):
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if (
        not parts
        or parts[0] == "/"
        or ".." in parts
        or re.match(r"[A-Za-z]:", name)
        or "\0" in name
    ):
        raise ValueError(f"{archive.name}: {name!r} leaves the folder; refused")


def _check_size(n_bytes, archive):
    limit = max(RATIO_FREE_BYTES, MAX_RATIO * archive.stat().st_size)
    limit = min(limit, MAX_TOTAL_BYTES)
    if n_bytes > limit:
        raise ValueError(
            f"{archive.name}: unpacks to {n_bytes / 2**20:.1f} MiB, limit "
            f"{limit / 2**20:.1f} MiB for a file of this size; refused"
        )


def _write_member(member, folder, archive):
    path = folder.joinpath(*PurePosixPath(member.name.replace("\\", "/")).parts)
    if any(part in JUNK for part in path.relative_to(folder).parts):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with member.open() as source, open(path, "xb") as target:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > member.size:
                raise ValueError(f"{archive.name}: {member.name} is larger than declared; refused")
            target.write(chunk)
    if written != member.size:
        raise ValueError(f"{archive.name}: {member.name} ends early: download it again")


def read_npz(path):
    """Return the arrays of an npz file; nothing is unpickled.

    Parameters
    ----------
    path : path
        An npz file.

    Returns
    -------
    dict of str to numpy.ndarray
        The arrays by name.

    Raises
    ------
    ValueError
        If the file is no npz, is absurdly large, or holds an object array, which only
        unpickling could read, and unpickling can run any program.
    """
    path = Path(path)
    check_kind(path, path.with_suffix(".npz").name)
    with zipfile.ZipFile(path) as stream:
        _check_members(list(_zip_members(stream, path)), path)
    arrays = {}
    with np.load(path, allow_pickle=False) as stream:
        for key in stream.files:
            try:
                arrays[key] = stream[key]
            except (*DAMAGE_ERRORS, ValueError) as error:
                raise ValueError(_object_array_message(path, key, error)) from error
    return arrays


def _object_array_message(path, key, error):
    if "allow_pickle" not in str(error):
        return f"{path.name}: array {key} cannot be read ({error}): download the file again"
    return (
        f"{path.name}: array {key} is an object array (images of different sizes in one array), "
        "which only unpickling can read, and a pickle can run any program on this computer. "
        "Safe ways: ask the author for the file saved with one array per image "
        "(np.savez(file, image_0=..., image_1=...)); for DSB2018 rebuild the set from the "
        "original images: fetch dsb2018, dsb2018_n10, dsb2018_n20 or dsb2018_n40"
    )
