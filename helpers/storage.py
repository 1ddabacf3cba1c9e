"""Files that are written whole or not at all, and JSON."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

__all__ = ["read_json", "to_json", "write_json", "write_whole"]


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place once the block succeeds.

    Notes
    -----
    A kill or a full disk leaves the earlier file as it was. The ending is kept, because
    Keras and NumPy choose the format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{path.name}")
    yield part
    with part.open("rb+") as file:  # on the disk before it gets its name
        os.fsync(file.fileno())
    os.replace(part, path)


def to_json(data: dict) -> str:
    """Return `data` as indented JSON text; NumPy values become Python's own, paths text."""
    return json.dumps(data, indent=2, default=_plain) + "\n"


def _plain(value: object):
    """Turn a NumPy value into Python's own, and a path into text."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def write_json(path: Path, data: dict) -> None:
    """Write `data` to a JSON file, whole or not at all."""
    with write_whole(path) as part:
        part.write_text(to_json(data), encoding="utf-8")


def read_json(path: Path) -> dict:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
