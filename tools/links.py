"""Write what depends on the repository's public address, or check that it is in step.

    python tools/links.py           # write
    python tools/links.py --check   # exit 1 when something is out of step

The address stands once, in pyproject.toml (`project.urls.Repository`). From it come the Colab
badges in README.md and in the first cell of each notebook, and the setup cell of each notebook
(tagged `setup`), which is tools/setup_cell.py with the address filled in.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
BADGE_LINK = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*/(\d\d_\w+)\.ipynb\)")
BRANCH = "main"


def read(path: Path) -> str:
    """Return the text of a file; Windows would not take UTF-8 by itself."""
    return path.read_text(encoding="utf-8")


def address() -> str:
    """Return the repository's public address."""
    urls = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["urls"]
    return urls["Repository"].rstrip("/").removesuffix(".git")


def badge(name: str) -> str:
    """Return the Markdown of the Colab badge of the notebook called `name`."""
    host, _, owner_and_name = address().partition("://github.com/")
    if not owner_and_name:
        raise SystemExit(
            f"pyproject.toml: Repository is {host}, but Colab opens notebooks from "
            "https://github.com/OWNER/NAME only: give such an address"
        )
    link = f"https://colab.research.google.com/github/{owner_and_name}/blob/{BRANCH}/notebooks"
    return f"[![Open in Colab]({BADGE})]({link}/{name}.ipynb)"


def with_badges(text: str) -> str:
    """Return `text` with the address in every Colab badge renewed."""
    return BADGE_LINK.sub(lambda found: badge(found.group(1)), text)


def setup_cell() -> str:
    """Return the source of the setup cell that all notebooks share."""
    template = read(ROOT / "tools" / "setup_cell.py")
    return template.replace("REPOSITORY_ADDRESS", address()).strip()


def renewed(path: Path) -> str:
    """Return the text that the file at `path` should have."""
    text = read(path)
    if path.suffix != ".ipynb":
        return with_badges(text)
    notebook = nbformat.reads(text, as_version=4)
    notebook.cells[0].source = with_badges(notebook.cells[0].source)
    for cell in notebook.cells:
        if "setup" in cell.metadata.get("tags", []):
            cell.source = setup_cell()
    return nbformat.writes(notebook) + "\n"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    options = parser.parse_args()
    files = [ROOT / "README.md", *sorted((ROOT / "notebooks").glob("*.ipynb"))]
    stale = [path for path in files if renewed(path).strip() != read(path).strip()]
    for path in stale:
        name = path.relative_to(ROOT).as_posix()
        if options.check:
            print(f"{name}: badges or setup cell out of step: run `make links`")
        else:
            path.write_text(renewed(path), encoding="utf-8", newline="\n")
            print(f"{name}: renewed")
    if not stale:
        print("badges and setup cells are in step with pyproject.toml")
    return options.check and len(stale) > 0


if __name__ == "__main__":
    sys.exit(main())
