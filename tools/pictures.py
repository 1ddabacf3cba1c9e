"""Copy the pictures of the README out of the committed notebooks.

    python tools/pictures.py

A code cell tagged `picture-NAME` gives its figure to docs/pictures/NAME.jpg, so the README
shows exactly what the notebooks' last run made.
"""

from __future__ import annotations

import base64
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write one picture for each tagged cell."""
    folder = ROOT / "docs" / "pictures"
    folder.mkdir(exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            names = [t for t in cell.metadata.get("tags", []) if t.startswith("picture-")]
            figures = [o.data["image/jpeg"] for o in cell.get("outputs", []) if is_figure(o)]
            for name in names:
                if not figures:
                    raise SystemExit(f"{path.name}: the cell tagged {name} has no figure")
                target = folder / f"{name.removeprefix('picture-')}.jpg"
                target.write_bytes(base64.b64decode(figures[-1]))
                print(f"{target.relative_to(ROOT)}  from {path.name}")


def is_figure(output) -> bool:
    """Tell whether an output of a cell is a figure."""
    return "image/jpeg" in output.get("data", {})


if __name__ == "__main__":
    main()
