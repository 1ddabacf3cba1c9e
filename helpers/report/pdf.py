"""The report of a run as PDF, where a program that renders HTML is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from helpers.storage import write_whole

__all__ = ["find_browser", "write_pdf"]

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
    "microsoft-edge",
)
PLACES = {  # where they are not on the search path
    "darwin": ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",),
    "win32": (
        r"C:\Program Files\Google\Chrome\Application\chrome.exe",
        r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    ),
}
SECONDS = 180


def write_pdf(page: str | Path) -> Path:
    """Print an HTML file as PDF beside it, with a browser, else with WeasyPrint.

    Parameters
    ----------
    page : path
        Such as ``report.html``. An earlier PDF is replaced.

    Returns
    -------
    pathlib.Path
        The same name, ending in ``.pdf``.

    Raises
    ------
    FileNotFoundError
        If there is neither, or no such page.
    OSError
        If the browser fails.
    """
    page = Path(page).absolute()
    if not page.is_file():
        raise FileNotFoundError(f"{page} does not exist: write the report first")
    target = page.with_suffix(".pdf")
    browser = find_browser()
    if browser is None and find_spec("weasyprint") is None:
        raise FileNotFoundError(
            f"nothing here makes a PDF: install Chromium or Chrome, or pip install weasyprint; or "
            f"open {page} in any browser and print it to a file"
        )
    with write_whole(target) as part:
        if browser is None:
            from weasyprint import HTML

            HTML(filename=str(page)).write_pdf(str(part))
        else:
            _print(browser, page, part)
    return target


def find_browser() -> str | None:
    """Return the program of a Chromium browser (Chrome, Edge), or None."""
    found = filter(None, map(shutil.which, BROWSERS))
    places = (place for place in PLACES.get(sys.platform, ()) if Path(place).is_file())
    return next(found, None) or next(places, None)


def _print(browser: str, page: Path, part: Path) -> None:
    options = ["--headless", "--disable-gpu", "--no-pdf-header-footer"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--no-sandbox")  # it refuses to start as root; the page is our own
    # a profile of its own: the user's browser may be open
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, *options, f"--user-data-dir={profile}", f"--print-to-pdf={part}"]
        try:
            done = subprocess.run(
                [*command, page.as_uri()], capture_output=True, text=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            raise OSError(
                f"{browser} did not finish in {SECONDS} s: open {page} in a browser and print it"
            ) from None
    if done.returncode or not part.is_file():
        reason = (done.stderr.strip().splitlines() or ["it wrote no file"])[-1]
        raise OSError(f"{browser} could not print {page.name}: {reason}")
