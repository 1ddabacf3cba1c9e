"""Download of files into one cache: mirrors, retries, checksums, pins."""

import json
import os
from pathlib import Path
from urllib.parse import quote

from .manifest import sha256_of
from .unpack import check_kind

__all__ = ["DownloadError", "cache_folder", "download", "urls_of"]

# Waits of 1, 2, ... seconds lie between the tries of one address.
RETRIES = 2
TIMEOUT_S = 30
CHUNK = 2**17
PINS = "pins.json"


class DownloadError(OSError):
    """No address of a file delivered it whole and unchanged."""


def cache_folder():
    """Return the folder that keeps downloads.

    Returns
    -------
    pathlib.Path
        `MICROSEG_CACHE` if set, else the operating system's cache folder for
        `microseg-notebooks`.
    """
    import pooch

    return Path(os.environ.get("MICROSEG_CACHE") or pooch.os_cache("microseg-notebooks"))


def urls_of(file):
    """Return the addresses to try for a file.

    Parameters
    ----------
    file : RemoteFile
        A file of the registry.

    Returns
    -------
    list of str
        If `MICROSEG_BASE_URL` is set, BASE/FOLDER/NAME alone, so that inside a firewall no other
        host is contacted; else the registry's addresses.
    """
    base = os.environ.get("MICROSEG_BASE_URL")
    if base:
        return [f"{base.rstrip('/')}/{quote(file.folder)}/{quote(file.name)}"]
    return list(file.urls)


def download(file, *, progress=True, report=print):
    """Return a file from the cache, downloaded first if it is not there.

    Parameters
    ----------
    file : RemoteFile
        A file of the registry.
    progress : bool
        Show a progress bar.
    report : callable
        Called with lines of text for the user.

    Returns
    -------
    path : pathlib.Path
        The file in the cache.
    sha256 : str
        Its checksum.

    Raises
    ------
    DownloadError
        If no address delivered the file; the message gives the cause for each.

    Notes
    -----
    A download is written under a temporary name and gets its own name only when it is whole,
    of the kind its name says, and of the known or pinned checksum. A checksum that the
    registry does not know is pinned in `pins.json` of the cache folder on first download. A
    file in the cache whose checksum is wrong is downloaded again.
    """
    folder = cache_folder() / file.folder
    path, pin_name = folder / file.name, f"{file.folder}/{file.name}"
    known = file.sha256 or _read_pins().get(pin_name)
    if path.exists() and (known is None or sha256_of(path) == known):
        _check_cached(path)
        report(f"{file.name}: already in {folder}")
    else:
        _download_from_any(file, known, folder, progress=progress, report=report)
    sha256 = known or sha256_of(path)
    if known is None:
        _add_pin(pin_name, sha256)
        report(
            f"{file.name}: no checksum was known, so this file's is pinned in "
            f"{cache_folder() / PINS} and checked from now on: sha256 {sha256}"
        )
    return path, sha256


def _check_cached(path):
    try:
        check_kind(path)
    except ValueError as error:
        raise ValueError(f"{error}: delete {path} and fetch again") from error


def _download_from_any(file, known, folder, *, progress, report):
    failures = []
    for url in urls_of(file):
        report(f"{file.name}: downloading from {url}")
        try:
            _download_from(url, file.name, known, folder, progress=progress)
            return
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            failures.append(f"  {url}: {_explain(error, known)}")
            report(failures[-1])
    raise DownloadError(
        f"{file.name} could not be downloaded:\n"
        + "\n".join(failures)
        + f"\nCheck the connection, set MICROSEG_BASE_URL to a mirror, or put the file at "
        f"{folder / file.name} by hand"
    )


def _download_from(url, name, known, folder, *, progress):
    import pooch

    pooch.get_logger().setLevel("WARNING")
    transfer = pooch.HTTPDownloader(progressbar=progress, chunk_size=CHUNK, timeout=TIMEOUT_S)

    def transfer_and_check(url, output, store):
        transfer(url, output, store)
        check_kind(output, name)

    store = pooch.create(
        path=folder,
        base_url="",
        registry={name: f"sha256:{known}" if known else None},
        urls={name: url},
        retry_if_failed=RETRIES,
    )
    store.fetch(name, downloader=transfer_and_check)


def _explain(error, known):
    import requests

    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code} ({error.response.reason})"
    if isinstance(error, requests.RequestException):
        return f"no answer, or the connection broke off ({type(error).__name__})"
    if "does not match the known hash" in str(error):
        return f"another file than expected: its sha256 is not {known}"
    return str(error)


def _read_pins():
    path = cache_folder() / PINS
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): mend or delete it") from error


def _add_pin(pin_name, sha256):
    path = cache_folder() / PINS
    pins = _read_pins() | {pin_name: sha256}
    draft = path.with_name(f"{PINS}.{os.getpid()}")
    draft.write_text(json.dumps(pins, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(draft, path)
