"""Images and masks of a data folder, split into training, validation and test."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers.images import file_stem, read_image, read_pixel_size
from helpers.layouts import Pair, find_pairs, list_images, read_pair_image, read_pair_labels
from helpers.splits import SPLITS, find_sources, split_by_source

__all__ = [
    "Split",
    "common_pixel_size",
    "load_dataset",
    "load_images",
    "manifest_pixel_size",
    "split_by_source",
    "split_pairs",
]


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
    if len(set(find_sources(names, groups).values())) >= len(shares):
        total = sum(shares.values())
        parts = split_by_source(
            names, [shares.get(name, 0) / total for name in SPLITS], groups=groups, seed=seed
        )
        note = _describe(parts, shares, len(pool), seed) if len(shares) > 1 else ""
    elif len(needed) > 1 or (origin == "train" and needed not in ([], ["train"])):
        raise ValueError(
            f"{layout.root} has no {', '.join(n for n in needed if n != origin)} folder, and its "
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
    lacks = (
        "splits"
        if len(shares) == len(SPLITS)
        else " and no ".join(n for n in shares if n != "train")
    )
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
