"""Cross-validation: folds in which no source is both learned from and tested on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.splits import find_sources

if TYPE_CHECKING:
    from helpers.datasets import Split

__all__ = ["split_folds", "take_fold"]


def split_folds(
    names: Sequence[str], n_folds: int = 5, *, groups=None, seed: int = 42
) -> list[tuple[list[str], list[str]]]:
    """Return the images to learn from and to test on, for each fold.

    Parameters
    ----------
    names : sequence of str
        Names of images, each once.
    n_folds : int
        Number of folds, at least 2.
    groups : dict or callable, optional
        The source of each name, as in :func:`helpers.splits.split_by_source`; for overlapping
        scans :func:`helpers.afm.overlaps.group_overlaps`. By default each image is its own.
    seed : int
        Same seed, same names, same result, in whatever order the names come.

    Returns
    -------
    list of (list of str, list of str)
        Training and test names of each fold, in the order given. Each name is tested on once.

    Raises
    ------
    ValueError
        If names repeat or lack a group, or there are fewer sources than folds.

    Notes
    -----
    The sources are drawn at random, the larger ones first, each for the fold that has the fewest
    images; so folds are about equally large, unless one source is larger than a fold.

    Examples
    --------
    >>> folds = split_folds(["a1", "a2", "b1", "c1"], 2, groups=lambda name: name[0])
    >>> sorted(sorted(test) for _, test in folds)
    [['a1', 'a2'], ['b1', 'c1']]
    """
    names = list(names)
    if len(set(names)) < len(names):
        raise ValueError("names has some more than once: give each name once")
    source_of = find_sources(names, groups)
    sizes = Counter(source_of[name] for name in sorted(names))
    if n_folds < 2 or len(sizes) < n_folds:
        raise ValueError(
            f"n_folds is {n_folds} for {len(names)} images of {len(sizes)} sources: give from 2 up "
            "to the number of sources"
        )
    order = list(sizes)
    order = [order[i] for i in np.random.default_rng(seed).permutation(len(order))]
    loads, fold_of = [0] * n_folds, {}
    for source in sorted(order, key=lambda source: -sizes[source]):
        fold_of[source] = int(np.argmin(loads))
        loads[fold_of[source]] += sizes[source]
    return [
        (
            [name for name in names if fold_of[source_of[name]] != fold],
            [name for name in names if fold_of[source_of[name]] == fold],
        )
        for fold in range(n_folds)
    ]


def take_fold(
    data: dict[str, Split], fold: int, *, n_folds: int = 5, groups=None, seed: int = 42
) -> dict[str, Split]:
    """Divide all images of a data set anew, one fold for testing and the next for validation.

    Parameters
    ----------
    data : dict of Split
        From :func:`helpers.datasets.load_dataset`.
    fold : int
        1 to `n_folds`; over all of them, each image is tested on once.
    n_folds : int
        Number of folds, at least 3.
    groups, seed
        As in :func:`split_folds`; the seed is not that of the network, so that trainings with
        other seeds have the same folds.

    Returns
    -------
    dict of Split
        Train, val and test, with all images of `data`.

    Raises
    ------
    ValueError
        If there is no such fold, fewer than 3, or a name is in two splits.

    Notes
    -----
    Validation has a fold of its own: were it of the same field as the test images, the
    checkpoint and the threshold would be chosen on them.
    """
    from dataclasses import replace

    if n_folds < 3 or not 1 <= fold <= n_folds:
        raise ValueError(f"fold is {fold} of {n_folds}: give 1 to n_folds, which is 3 or more")
    names = [name for split in data.values() for name in split.names]
    held_out = [test for _, test in split_folds(names, n_folds, groups=groups, seed=seed)]
    test, val = held_out[fold - 1], held_out[fold % n_folds]
    parts = {"train": [n for n in names if n not in {*test, *val}], "val": val, "test": test}
    images = [image for split in data.values() for image in split.images]
    masks = [mask for split in data.values() for mask in split.masks]
    place = {name: i for i, name in enumerate(names)}
    first = next(iter(data.values()))
    return {
        name: replace(
            first,
            name=name,
            names=part,
            images=[images[place[n]] for n in part],
            masks=[masks[place[n]] for n in part],
            note=f"fold {fold} of {n_folds}",
        )
        for name, part in parts.items()
    }
