"""Images and masks of a data folder, split into training, validation and test."""

import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers.images import file_stem, read_image, read_pixel_size
from helpers.layouts import Pair, find_pairs, list_images, read_pair_image, read_pair_labels

__all__ = [
    "Split",
    "common_pixel_size",
    "load_dataset",
    "load_images",
    "manifest_pixel_size",
    "split_by_source",
    "split_pairs",
]

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """The images of one split, in the order of their names.

    `masks` are int32, 0 for background; `pixel_size_um` is None where unknown or not the same
    for all images; `note` says how the split was made if the folder did not have it.
    """

    name: str
    names: list[str]
    images: list[np.ndarray] = field(repr=False)
    masks: list[np.ndarray] = field(repr=False)
    pixel_size_um: tuple[float, ...] | None = None
    note: str = ""

    def __len__(self):
        """Return the number of images."""
        return len(self.names)


def load_dataset(
    root, *, seed=42, fractions=(0.7, 0.15, 0.15), groups=None, require=("train", "val", "test")
):
    """Return the images and masks of a data folder by split.

    Parameters
    ----------
    root : path
        A folder or npz file in one of the layouts of `helpers.layouts.find_pairs`.
    seed : int
        Chooses the images of splits that the folder does not have.
    fractions : tuple of float
        Shares of train, val and test, for the splits that the folder does not have.
    groups : dict or callable, optional
        The source of each image, see `split_by_source`.
    require : tuple of str
        Splits without which the call fails.

    Returns
    -------
    dict of Split
        With the keys train, val and test, as far as there are images.

    Raises
    ------
    FileNotFoundError
        If `root` does not exist.
    ValueError
        If the layout is not known, a mask or image lacks its partner, a file cannot be read,
        shapes differ, or a required split is missing and cannot be made.

    Notes
    -----
    Missing splits are taken from the training images, or from all images if the folder has no
    splits, whatever `require` says, so the same call with another `require` gives no other
    test images. Where there are too few images for that, and no missing split is required,
    the folder's own splits are returned. Everything is read into memory.
    """
    layout = find_pairs(root)
    _check_complete(layout)
    pairs, note = split_pairs(
        layout, seed=seed, fractions=fractions, groups=groups, require=require
    )
    default_size = manifest_pixel_size(layout.root)
    return {
        name: _read_split(name, pairs[name], default_size, "" if name in layout.pairs else note)
        for name in pairs
    }


def _check_complete(layout):
    if layout.problems:
        shown = [f"{p.path.relative_to(layout.root)} {p.finding}" for p in layout.problems[:5]]
        raise ValueError(
            f"{layout.root}: {len(layout.problems)} files cannot be used: {'; '.join(shown)}. Add "
            "or rename the partners; check_dataset(folder) lists all findings"
        )
    if any(pair.mask is None for pairs in layout.pairs.values() for pair in pairs):
        raise ValueError(
            f"{layout.root} has images but no masks, so it serves for prediction only: use "
            "load_images(folder), or put the masks into a folder masks beside images"
        )


def split_pairs(layout, *, seed=42, fractions=(0.7, 0.15, 0.15), groups=None, require=SPLITS):
    """Return the pairs of a layout by split, and a note on how missing splits were made.

    Parameters and errors are those of `load_dataset`; no pixel is read.
    """
    pairs = dict(layout.pairs)
    origin = "all" if "all" in pairs else "train"
    pool = pairs.pop(origin, [])
    shares = {n: share for n, share in zip(SPLITS, fractions, strict=True) if n not in pairs}
    names, note = [pair.name for pair in pool], ""
    needed = [name for name in shares if name in require]
    if len(set(_sources(names, groups).values())) >= len(shares):
        total = sum(shares.values())
        parts = split_by_source(
            names, [shares.get(name, 0) / total for name in SPLITS], groups=groups, seed=seed
        )
        note = _describe(parts, shares, len(pool), seed) if len(shares) > 1 else ""
    elif len(needed) > 1 or (origin == "train" and needed not in ([], ["train"])):
        raise ValueError(
            f"{layout.root} has no {', '.join(set(needed) - {origin})} folder, and its "
            f"{len(pool)} images are too few sources to make one; add images, cut a large image "
            "into regions that do not touch, or name fewer splits in require"
        )
    else:
        parts = {(needed or ["train"])[0]: names}
    for name in shares:
        chosen = set(parts.get(name, ()))
        pairs[name] = [pair for pair in pool if pair.name in chosen]
    lacking = [name for name in require if not pairs.get(name)]
    if lacking:
        raise ValueError(
            f"{layout.root} has no images for {', '.join(lacking)}: add a folder of that name, or "
            "leave it out of require"
        )
    return {name: pairs[name] for name in SPLITS if pairs.get(name)}, note


def _describe(parts, shares, n_pool, seed):
    counts = ", ".join(f"{len(parts[name])} {name}" for name in shares)
    lacks = "splits" if len(shares) == len(SPLITS) else " or ".join(set(shares) - {"train"})
    return (
        f"The folder has no {lacks}: its {n_pool} images were divided by source image, "
        f"with seed {seed}, into {counts}."
    )


def _read_split(name, pairs, default_size, note):
    images, masks = [], []
    for pair in pairs:
        image, axes = read_pair_image(pair)
        labels = read_pair_labels(pair)
        shape = image.shape[: len(axes.removesuffix("C"))]
        if labels.shape != shape:
            raise ValueError(
                f"{pair.name} ({name}): the image has shape {shape}, its mask {labels.shape}; "
                "export the mask again at the size of the image"
            )
        images.append(image)
        masks.append(labels)
    size = common_pixel_size(pairs) or default_size
    return Split(name, [pair.name for pair in pairs], images, masks, size, note)


def common_pixel_size(pairs):
    """Return the pixel size in µm that all images state, or None if it differs or is unknown."""
    sizes = {
        size and tuple(float(f"{um:.4g}") for um in size)
        for size in (read_pixel_size(p.image) for p in pairs if isinstance(p.image, Path))
    }
    return sizes.pop() if len(sizes) == 1 else None


def manifest_pixel_size(root):
    """Return the pixel size in µm that `dataset.toml` states, or None."""
    path = root / "dataset.toml"
    if not path.is_file():
        return None
    try:
        size = tomllib.loads(path.read_text(encoding="utf-8")).get("pixel_size_um")
        return None if size is None else tuple(float(um) for um in size)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}): mend or remove it; pixel_size_um is a list such as "
            "[0.2, 0.1, 0.1]"
        ) from error


def load_images(folder):
    """Return the images of a folder without masks, for prediction.

    Parameters
    ----------
    folder : path
        Image files, or a subfolder `images` with them. Hidden files and files of other kinds
        are left out.

    Returns
    -------
    Split
        Named "predict", with no masks.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If it holds no images, or one cannot be read.
    """
    pairs = [Pair(file_stem(path), path, None) for path in list_images(folder)]
    if not pairs:
        raise ValueError(f"{folder} holds no image files: give a folder with TIFF or PNG files")
    names, images = [pair.name for pair in pairs], [read_image(pair.image) for pair in pairs]
    size = common_pixel_size(pairs) or manifest_pixel_size(Path(folder))
    return Split("predict", names, images, [], size)


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
    {'train': ['a1', 'a2'], 'val': ['b1'], 'test': ['c1']}
    """
    names = list(names)
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"names has {', '.join(twice[:5])} more than once: give each name once")
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions is {fractions}: give three shares from 0 to 1, with sum 1")
    source_of = _sources(names, groups)
    wanted = {s: share * len(names) for s, share in zip(SPLITS, fractions, strict=True) if share}
    n_sources = len(set(source_of.values()))
    if n_sources < len(wanted):
        raise ValueError(
            f"{len(names)} images from {n_sources} sources cannot fill {len(wanted)} splits: add "
            "images, cut a large image into regions that do not touch, or set a share to 0"
        )
    split_of = _assign_sources(source_of, wanted, np.random.default_rng(seed))
    return {split: [n for n in names if split_of[source_of[n]] == split] for split in SPLITS}


def _sources(names, groups):
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


def _assign_sources(source_of, wanted, rng):
    sizes = Counter(source_of.values())
    order = rng.permutation(np.array(sorted(sizes, key=str), dtype=object))
    lacks, split_of = dict(wanted), {}
    empty = set(wanted)
    for n_left, source in zip(
        range(len(order), 0, -1), sorted(order, key=lambda s: -sizes[s]), strict=True
    ):
        candidates = empty if n_left == len(empty) else set(wanted)
        split = max((s for s in wanted if s in candidates), key=lacks.get)
        split_of[source] = split
        lacks[split] -= sizes[source]
        empty.discard(split)
    return split_of
