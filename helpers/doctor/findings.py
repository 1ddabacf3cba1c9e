"""The rows of the data doctor's table, and what it remembers of each image."""

from dataclasses import dataclass, field

import numpy as np

__all__ = ["ERROR", "NOTE", "WARNING", "Finding", "Record", "make_table"]

ERROR, WARNING, NOTE = "error", "warning", "note"
COLUMNS = ("severity", "file", "finding", "mend")


@dataclass(frozen=True)
class Finding:
    """One row of the doctor's table."""

    severity: str
    file: str
    finding: str
    mend: str


@dataclass
class Record:
    """What is kept of a pair when its pixels are gone.

    `pieces` has, for each label in more than one piece, the sizes of its pieces in pixels,
    the largest first. `n_labels` is None where the mask cannot be read.
    """

    split: str
    file: str
    mask_file: str
    is_readable: bool = False
    dtype: str = ""
    n_spatial: int = 0
    n_patches: int = 0
    pixel_size_um: tuple[float, ...] | None = None
    image_hash: str = ""
    mask_hash: str = ""
    thumbnail: np.ndarray | None = None
    n_labels: int | None = None
    max_label: int = 0
    pieces: dict[int, list[int]] = field(default_factory=dict)


def make_table(findings, max_rows=5):
    """Return findings as a table, errors first; see `helpers.doctor.check_dataset`."""
    from pandas import DataFrame

    order = {ERROR: 0, WARNING: 1, NOTE: 2}
    rows, kinds = [], {}
    for finding in findings:
        kinds.setdefault((finding.severity, finding.mend), []).append(finding)
    for (severity, mend), same in sorted(kinds.items(), key=lambda item: order[item[0][0]]):
        shown = same if max_rows is None or len(same) <= max_rows else same[: max_rows - 1]
        rows += [(severity, finding.file, finding.finding, mend) for finding in shown]
        rest = same[len(shown) :]
        if rest:
            names = ", ".join(finding.file for finding in rest[:3])
            more = f"and {len(rest)} more files: {names}" + ", ..." * (len(rest) > 3)
            rows.append((severity, more, "the same; max_rows=None lists all", mend))
    return DataFrame(rows, columns=COLUMNS, dtype=object)
