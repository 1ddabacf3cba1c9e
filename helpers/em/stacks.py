"""Electron microscopy as it is stored: one large stack, or a file for every slice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from helpers.datasets import Split, load_dataset
from helpers.doctor.folder import check_dataset

__all__ = ["check_stacks", "cut_slices", "join_slices", "load_stacks"]

SHARES = {"train": 0.65, "val": 0.15, "test": 0.2}


def load_stacks(folder, *, gap: int = 8, seed: int = 42) -> dict[str, Split]:
    """Return training, validation and test volumes of a data folder.

    Parameters
    ----------
    folder : path
        In a layout of `helpers.datasets.load_dataset`. Slices in files of their own are joined,
        see :func:`join_slices`.
    gap : int
        Slices left out between the splits that are cut out of one volume. Neighbouring slices
        show the same objects: without a gap the validation score would be too good.
    seed : int
        Chooses the stacks of splits that the folder does not have, where it has three or
        more.

    Returns
    -------
    dict of Split
        With the keys train, val and test. Missing ones are the last slices of a single
        training volume, see :func:`cut_slices`; of several joined from slices the last
        volumes; of three or more stacks some drawn by `seed`. ``note`` tells.

    Raises
    ------
    ValueError
        As `load_dataset`, and if the volumes have too few slices to be cut.
    """
    given = load_dataset(folder, seed=seed, require=("train",), fractions=(1, 0, 0))
    if all(image.ndim == 3 for image in given["train"].images) and len(given["train"]) >= 3:
        given = load_dataset(folder, seed=seed, require=("train",))  # whole volumes are separate
    data = {name: join_slices(split) for name, split in given.items()}
    missing = [name for name in SHARES if name not in data]
    if missing:
        data |= _divide(data["train"], missing, gap)
    return {name: data[name] for name in SHARES}


def check_stacks(folder, *, patch_size: int = 64):
    """Return the table of `helpers.doctor.check_dataset` for a folder of stacks or slices.

    Parameters
    ----------
    folder : path
        As in :func:`load_stacks`.
    patch_size : int
        Side of the patches to be trained on, along Y and X.

    Returns
    -------
    pandas.DataFrame
        That a single stack has no images for validation is a note here, because
        :func:`load_stacks` cuts it.
    """
    table = check_dataset(folder, task="semantic", patch_size=patch_size)
    few = table["finding"].str.contains("too few sources")
    table.loc[few, "severity"] = "note"
    table.loc[few, "mend"] = "nothing, it is cut into runs of slices; to choose, make the folders"
    return table


def _divide(train: Split, missing: Sequence[str], gap: int) -> dict[str, Split]:
    """Return the training split and the missing ones, made of its last slices."""
    kept = ["train", *missing]
    shares = [SHARES[name] for name in kept]
    parts: dict[str, list[tuple]] = {name: [] for name in kept}
    if len(train) == 1:
        image, mask = train.images[0], train.masks[0]
        for name, run in zip(kept, cut_slices(len(image), shares, gap=gap), strict=True):
            parts[name].append((f"{train.names[0]}_z{run.start:04d}", image[run], mask[run]))
        note = f"Cut from the training volume, {gap} slices apart."
    else:
        volumes = list(zip(train.names, train.images, train.masks, strict=True))
        for name, run in zip(kept, cut_slices(len(volumes), shares, gap=0), strict=True):
            parts[name] = volumes[run]
        note = "The last of the training volumes, in the order of their names."
    return {
        name: Split(name, *map(list, zip(*rows, strict=True)), train.pixel_size_um, note)
        for name, rows in parts.items()
    }


def cut_slices(n_slices: int, shares: Sequence[float], *, gap: int = 8) -> list[slice]:
    """Return runs of neighbouring slices with gaps between them.

    Parameters
    ----------
    n_slices : int
        Slices of the volume.
    shares : sequence of float
        Of each run, in the order of the slices; their sum is 1.
    gap : int
        Slices between two runs.

    Returns
    -------
    list of slice

    Raises
    ------
    ValueError
        If a run would have no slice.

    Examples
    --------
    >>> cut_slices(30, [0.5, 0.5], gap=10)
    [slice(0, 10, None), slice(20, 30, None)]
    """
    free = n_slices - gap * (len(shares) - 1)
    ends = np.round(np.cumsum(shares) / sum(shares) * max(free, 0)).astype(int)
    starts = np.concatenate([[0], ends[:-1]])
    if (ends <= starts).any():
        raise ValueError(
            f"a volume has {n_slices} slices, too few for {len(shares)} splits with gaps of {gap}: "
            "lower gap, or give train, val and test folders (of 2D images, at least three)"
        )
    shift = gap * np.arange(len(shares))
    return [slice(int(a), int(b)) for a, b in zip(starts + shift, ends + shift, strict=True)]


def join_slices(split: Split) -> Split:
    """Return a split in which slices that follow each other are one volume.

    Parameters
    ----------
    split : Split
        Volumes stay as they are. The name of a 2D image must end in its number along z;
        consecutive numbers behind the same name are joined if the slices have one shape.

    Returns
    -------
    Split
        All images ZYX; a slice without neighbours is a volume of one. Without a voxel
        size along z there is no pixel size.
    """
    runs: list[list[int]] = []
    order = sorted(range(len(split)), key=lambda i: _split_name(split.names[i]))
    for i in order:
        previous = runs[-1][-1] if runs else None
        if previous is not None and _follows(split, previous, i):
            runs[-1].append(i)
        else:
            runs.append([i])
    images, masks, names = [], [], []
    for run in runs:
        flat = split.images[run[0]].ndim == 2
        for joined, arrays in ((images, split.images), (masks, split.masks)):
            joined.append(np.stack([arrays[i] for i in run]) if flat else arrays[run[0]])
        more = f"-{_split_name(split.names[run[-1]])[1]}" if len(run) > 1 else ""
        names.append(split.names[run[0]] + more)
    size = split.pixel_size_um
    size = size if size is not None and len(size) == 3 else None
    return replace(split, names=names, images=images, masks=masks, pixel_size_um=size)


def _split_name(name: str) -> tuple[str, int]:
    stem, number = re.fullmatch(r"(.*?)(\d*)", name).groups()
    return stem, int(number or 0)


def _follows(split: Split, first: int, second: int) -> bool:
    (stem, number), (other, follower) = (_split_name(split.names[i]) for i in (first, second))
    shapes = {split.images[i].shape for i in (first, second)}
    flat = all(split.images[i].ndim == 2 for i in (first, second))
    return flat and len(shapes) == 1 and stem == other and follower == number + 1
