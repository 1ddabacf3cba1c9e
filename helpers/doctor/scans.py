"""Overlapping scans in two splits: the doctor's check for height maps and other scans."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from helpers.afm.overlaps import find_overlaps
from helpers.doctor.findings import NOTE, WARNING, Finding

__all__ = ["check_overlaps"]

MEND = (
    "keep both scans in one split: groups=group_overlaps(names, find_overlaps(images, names)) in "
    "load_dataset, or move one of the two"
)


def check_overlaps(splits: dict[str, tuple[Sequence[str], Sequence[np.ndarray]]]) -> list[Finding]:
    """Return the doctor's findings on scans that show the same piece of the sample.

    Parameters
    ----------
    splits : dict
        For each split the names of its files and their images, YX. Images of other kinds (3D,
        colour) must be left out.

    Returns
    -------
    list of Finding
        Warnings for overlaps across splits; one note for those within splits of images that are
        still to be divided (split "all").

    Notes
    -----
    Images are compared only with those of the same shape.
    """
    names, images, split_of = [], [], []
    for split, (files, members) in splits.items():
        names += list(files)
        images += list(members)
        split_of += [split] * len(files)
    findings = []
    for shape in sorted({np.shape(image) for image in images}):
        same = [i for i, image in enumerate(images) if np.shape(image) == shape]
        several = len({split_of[i] for i in same}) > 1
        compared = [
            (a, b) for a, b in combinations(range(len(same)), 2)
            if not several or split_of[same[a]] != split_of[same[b]]
        ]  # fmt: skip
        table = find_overlaps([images[i] for i in same], same, pairs=compared)
        for row in table.itertuples():
            one, two = row.first, row.second
            text = (
                f"shows {row.share:.0%} of the same piece as {names[one]} "
                f"(correlation {row.ncc:.2f})"
            )
            severity = WARNING if split_of[one] != split_of[two] else NOTE
            findings.append(Finding(severity, names[two], text, MEND))
    return findings
