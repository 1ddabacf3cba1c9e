"""Training, validation and test images without a source in two of them."""

from collections import Counter

import numpy as np

__all__ = ["SPLITS", "find_sources", "split_by_source"]

SPLITS = ("train", "val", "test")


def split_by_source(names, fractions=(0.7, 0.15, 0.15), *, groups=None, seed=42):
    """Return the names of the training, validation and test images, no source in two of them.

    Parameters
    ----------
    names : sequence of str
        Names of images, each once.
    fractions : tuple of float
        Shares of train, val and test; their sum is 1. A share of 0 gives an empty split.
    groups : dict or callable, optional
        The source (sample, well, animal, stack ...) of each name. Images of one source stay
        together. By default each image is a source of its own.
    seed : int
        Same seed, same names, same result, in whatever order the names come.

    Returns
    -------
    dict of list of str
        Keys train, val and test; names in the order given.

    Raises
    ------
    ValueError
        If names repeat or lack a group, the shares are not shares, or there are fewer sources
        than splits.

    Notes
    -----
    Sources are drawn at random, the larger ones first, each for the split that lacks most
    images; so shares are met as closely as whole sources allow. Crops, slices, time points and
    repeated scans of one sample resemble each other: a network tested on siblings of its
    training images looks better than it is.

    Examples
    --------
    >>> split_by_source(["a1", "a2", "b1", "c1"], groups=lambda name: name[0])
    {'train': ['a1', 'a2'], 'val': ['c1'], 'test': ['b1']}
    """
    names = list(names)
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"names has {', '.join(twice[:5])} more than once: give each name once")
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions is {fractions}: give three shares from 0 to 1, with sum 1")
    source_of = find_sources(names, groups)
    wanted = {s: share * len(names) for s, share in zip(SPLITS, fractions, strict=True) if share}
    n_sources = len(set(source_of.values()))
    if n_sources < len(wanted):
        raise ValueError(
            f"{len(names)} images from {n_sources} sources cannot fill {len(wanted)} splits: add "
            "images, cut a large image into regions that do not touch, or set a share to 0"
        )
    split_of = _assign(dict(sorted(source_of.items())), wanted, np.random.default_rng(seed))
    return {split: [n for n in names if split_of[source_of[n]] == split] for split in SPLITS}


def find_sources(names, groups=None):
    """Return the source of each name as a dict; see `split_by_source`."""
    if groups is None:
        return {name: name for name in names}
    if callable(groups):
        return {name: groups(name) for name in names}
    without = [name for name in names if name not in groups]
    if without:
        raise ValueError(
            f"groups lacks {', '.join(without[:5])} ({len(without)} in all): give each a group"
        )
    return {name: groups[name] for name in names}


def _assign(source_of, wanted, rng):
    """Return the split of each source; `wanted` is the number of images by split."""
    sizes = Counter(source_of.values())
    order = [list(sizes)[i] for i in rng.permutation(len(sizes))]
    lacks, empty, split_of = dict(wanted), set(wanted), {}
    for i, source in enumerate(sorted(order, key=lambda source: -sizes[source])):
        n_left = len(order) - i
        open_splits = [s for s in wanted if s in empty] if n_left == len(empty) else list(wanted)
        split = max(open_splits, key=lacks.get)
        split_of[source] = split
        lacks[split] -= sizes[source]
        empty.discard(split)
    return split_of
