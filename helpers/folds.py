"""Cross-validation: folds in which no source is both learned from and tested on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from helpers.splits import find_sources

__all__ = ["split_folds"]


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
        scans :func:`helpers.overlaps.group_overlaps`. By default each image is its own.
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
