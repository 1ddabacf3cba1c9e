"""Patches cut from the images of a data set, and the two rules for their validation set."""

from dataclasses import replace
from functools import lru_cache, partial

import numpy as np

from .convert import prepare_pair
from .layouts import Item
from .manifest import read_manifest

__all__ = ["RULES", "VAL_SHARE", "cut_items", "find_shared_sources"]

RULES = {
    "published": "validation patches drawn over all patches: they share images with training",
    "by_image": "validation patches from validation images, none of them in training",
}
VAL_SHARE = 0.15
POSITION_SEED = 0


def cut_items(items, entry, *, seed):
    """Return the patches of images, and what the manifest should say of them.

    Parameters
    ----------
    items : list of Item
        Each with a split.
    entry : DataSet
        Its option `patches` has `rule` (one of `RULES`), and as far as they differ from the
        defaults `size` (128), `n_per_image` (10), `splits` that are cut (train and val) and
        `skip_small` (False). Without that option nothing is cut.
    seed : int
        Seed of the validation set under the rule "published", and of the noise.

    Returns
    -------
    items : list of Item
        Patches NAME_pNN in place of the images of these splits, in the same order under both
        rules, so that the same patch gets the same noise under both.
    facts : dict
        For `dataset.toml`: `seed`, `split_rule`, `noise`, `patches`, `shared_sources` (number
        of images that are in more than one split) and `sources`: by split, for each source
        image the ``[number, row, column]`` of its patches, empty for a whole image.

    Raises
    ------
    ValueError
        If the rule is not known, or an image does not fit its mask or is smaller than a patch.

    Notes
    -----
    Positions are those of `helpers.label_budget.draw_positions` with seed 0 for each image.
    Under "published" the training and validation patches are put in the order
    ``RandomState(seed).permutation(N)``, and the last ``round(0.15 N)`` are for validation.
    """
    if "patches" not in entry.options:
        return items, {}
    options = {"size": 128, "n_per_image": 10, "splits": ["train", "val"], "skip_small": False}
    options |= entry.options["patches"]
    rule = options.pop("rule")
    if rule not in RULES:
        raise ValueError(f"rule is {rule!r}: give one of {', '.join(RULES)}")
    cut, places, left_out = _cut_all(_name_apart(items), entry, **options)
    facts = {"seed": seed, "split_rule": rule, "noise": _noise_facts(entry, seed)}
    options.pop("skip_small")
    facts["patches"] = {**options, "position_seed": POSITION_SEED, "left_out": left_out or None}
    if rule == "published":
        cut = _split_over_patches(cut, seed)
        origin = f"patches of all training images, divided over patches with seed {seed}"
        facts["splits"] = {split: {"from": origin} for split in ("train", "val")}
    facts["sources"] = _list_sources(cut, places)
    facts["shared_sources"] = len(_find_shared(facts["sources"]))
    return cut, facts


def _name_apart(items):
    """Return the items, named with their split if two images of different splits share a name."""
    if len({item.name for item in items}) == len(items):
        return items
    return [replace(item, name=f"{item.split}_{item.name}") for item in items]


def _cut_all(items, entry, *, size, n_per_image, splits, skip_small):
    """Return the items, their (source, [number, row, column]), and the names left out."""
    from helpers.label_budget import draw_positions

    # patches of one image are written one after the other, so one image is kept
    read = lru_cache(maxsize=1)(partial(_read, items, entry))
    digits = max(2, len(str(n_per_image - 1)))
    cut, places, left_out = [], [], []
    for index, item in enumerate(items):
        if item.split not in splits:
            cut.append(item)
            places.append((item.name, None))
            continue
        shape = read(index)[1].shape
        if skip_small and min(shape) < size:
            left_out.append(item.name)
            continue
        try:
            starts = draw_positions(shape, size=size, n=n_per_image, seed=POSITION_SEED).tolist()
        except ValueError as error:
            raise ValueError(f"{entry.name}: {item.name}: {error} (skip_small=True)") from error
        for number, (y, x) in enumerate(starts):
            box = slice(y, y + size), slice(x, x + size)
            load = partial(_load_patch, read, index, box)
            cut.append(Item(item.split, f"{item.name}_p{number:0{digits}d}", load))
            places.append((item.name, [number, y, x]))
    return cut, places, left_out


def _read(items, entry, index):
    item = items[index]
    try:
        return prepare_pair(*item.load(), axes=entry.axes, **entry.options.get("pair", {}))
    except ValueError as error:
        raise ValueError(f"{entry.name}: {item.split} image {item.name}: {error}") from error


def _load_patch(read, index, box):
    from helpers.doctor.repair import relabel

    image, labels = read(index)
    return image[box], relabel(labels[box])


def _noise_facts(entry, seed):
    noise = entry.options.get("noise")
    return {"kind": "Gaussian, once per file", "sigma": 0, "seed": seed, **(noise or {})}


def _split_over_patches(items, seed):
    pool = [index for index, item in enumerate(items) if item.split in ("train", "val")]
    order = np.random.RandomState(seed).permutation(len(pool))
    n_val = round(VAL_SHARE * len(pool))
    chosen = {pool[i] for i in order[len(pool) - n_val :]}
    split_of = dict.fromkeys(pool, "train") | dict.fromkeys(chosen, "val")
    return [replace(item, split=split_of.get(i, item.split)) for i, item in enumerate(items)]


def _list_sources(items, places):
    sources = {}
    for item, (name, place) in zip(items, places, strict=True):
        patches = sources.setdefault(item.split, {}).setdefault(name, [])
        if place is not None:
            patches.append(place)
    return sources


def _find_shared(sources):
    splits_of = {}
    for split, names in sources.items():
        for name in names:
            splits_of.setdefault(name, []).append(split)
    return {name: splits for name, splits in sorted(splits_of.items()) if len(splits) > 1}


def find_shared_sources(folder):
    """Return the images from which more than one split of a data folder was cut.

    Parameters
    ----------
    folder : path
        A folder made by `build_patches` or fetched under a name with `voidseg`.

    Returns
    -------
    dict of str to list of str
        Source image: its splits. Empty if no split shares an image with another.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder has no `dataset.toml`, or that names no sources.
    """
    facts = read_manifest(folder)
    if "sources" not in facts:
        raise ValueError(f"{folder}: dataset.toml names no sources, so nothing can be said")
    return _find_shared(facts["sources"])
