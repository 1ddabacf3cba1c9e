"""Layouts data sets come in: finding the images, their masks and their splits."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from .unpack import read_npz

__all__ = ["LAYOUTS", "Item", "afm_name", "find_items"]

SUFFIXES = (".tif", ".tiff", ".png")
SPLIT_NAMES = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}


@dataclass(frozen=True)
class Item:
    """One image with its mask, not read yet.

    Attributes
    ----------
    split : str or None
        train, val or test as the source has it; None if it has no split.
    name : str
        File name without ending, the same for image and mask.
    load : callable
        Returns image and mask as arrays.
    """

    split: str | None
    name: str
    load: Callable[[], tuple[np.ndarray, np.ndarray]]


def find_items(source, layout, options):
    """Return the images of an unpacked data set.

    Parameters
    ----------
    source : path
        Folder with one folder per downloaded file, named as the file.
    layout : str
        A key of `LAYOUTS`.
    options : dict
        Keyword options of that layout.

    Returns
    -------
    list of Item
        Sorted by split and name.

    Raises
    ------
    ValueError
        If the layout is not known, or nothing of it or an image without a mask is found.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}, expected one of {', '.join(LAYOUTS)}")
    items = sorted(LAYOUTS[layout](Path(source), **options), key=lambda i: (i.split or "", i.name))
    if not items:
        raise ValueError(f"no images in the layout {layout!r} found: has the source changed?")
    names = [(item.split, item.name) for item in items]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two images would get the same name {twice[1]!r}")
    return items


def find_folders(source, *, images="images", masks="masks", image_end="", mask_end=""):
    """Return the pairs of {train,val,test}/IMAGES and .../MASKS, at whatever depth they lie.

    `image_end` and `mask_end` are endings of the file names that are not part of the name.
    """
    items = []
    for split, aliases in SPLIT_NAMES.items():
        for folder in sorted(Path(source).rglob(images)):
            if folder.parent.name in aliases:
                pairs = _pair(folder, folder.parent / masks, image_end, mask_end)
                items += [_file_item(split, *pair) for pair in pairs]
    return items


def find_afm(source, *, test="test_img"):
    """Return the pairs of {train,valid}/{afmheight,labels} and of TEST/N.png, TEST/N_gt.png."""
    items = find_folders(
        source, images="afmheight", masks="labels", image_end="_hi", mask_end="_label"
    )
    for mask in sorted(Path(source).rglob(f"{test}/*_gt.png")):
        name = mask.stem.removesuffix("_gt")
        items.append(_file_item("test", f"test_{name}", mask.with_name(f"{name}.png"), mask))
    return items


def afm_name(path):
    """Return the name that `find_afm` gives to an image of the AFM source, from its path there.

    Examples
    --------
    >>> afm_name("train/afmheight/cell_007_hi.png"), afm_name("test_img/3.png")
    ('cell_007', 'test_3')
    """
    stem = Path(path).stem
    return f"test_{stem}" if path.startswith("test_img/") else stem.removesuffix("_hi")


def find_archives(source, *, images, masks, image_end="", mask_end=""):
    """Return the pairs of one downloaded file with images and one with masks; no split."""
    folders = [Path(source) / images, Path(source) / masks]
    return [_file_item(None, *pair) for pair in _pair(*folders, image_end, mask_end)]


def find_sets(source, *, images, masks, train="Original"):
    """Return the pairs of SET/NAME in a file with images and in files with masks.

    Sets whose name has the part `train` are the training split, all others the test split. The
    first of `masks` that has a set, as SET or SET_manual, gives its masks.
    """
    items = []
    for path in _image_files(Path(source) / images):
        found = [
            mask
            for archive in masks
            for mask in _image_files(Path(source) / archive)
            if mask.name == path.name
            and mask.parent.name.removesuffix("_manual") == path.parent.name
        ]
        if not found:
            raise ValueError(f"{path.parent.name}/{path.name} has no mask in {', '.join(masks)}")
        split = "train" if train in path.parent.name else "test"
        items.append(_file_item(split, f"{path.parent.name}__{path.stem}", path, found[0]))
    return items


def find_pages(source, *, volumes, val_slices=0, val_gap=0):
    """Return volumes, each a multi-page TIFF or a folder with one file per slice.

    `volumes` maps train and test to the names of image and mask. The last `val_slices` of the
    training volume become the validation volume; `val_gap` slices before them are left out, so
    that no slice has a near twin in the other split.
    """
    items = []
    for split, (image, mask) in volumes.items():
        paths = [_find_one(source, image), _find_one(source, mask)]
        cuts = {split: slice(None)}
        if split == "train" and val_slices:
            cuts = {"train": slice(None, -val_slices - val_gap), "val": slice(-val_slices, None)}
        for part, cut in cuts.items():
            items.append(Item(part, part, lambda p=paths, c=cut: tuple(_volume(q)[c] for q in p)))
    return items


def find_npz(source, *, files, test_folders=None):
    """Return the images of npz files with X_train, Y_train, X_val, Y_val, X_test, Y_test.

    `files` are paths below the unpacked files, found by their end. If the test images are in
    no npz that can be read safely, `test_folders` names a downloaded file to take them from.
    """
    items = []
    for name in files:
        arrays = read_npz(_find_one(source, name))
        for split in SPLIT_NAMES:
            if f"X_{split}" in arrays:
                items += _array_items(split, arrays[f"X_{split}"], arrays[f"Y_{split}"])
    if test_folders:
        others = find_folders(Path(source) / test_folders)
        items += [item for item in others if item.split == "test"]
    return items


def find_sample(source, *, name, seed=42):
    """Return the images of a built-in sample, which is made here; `source` is not read."""
    from .samples import SAMPLES

    module, function, _ = SAMPLES[name]
    made = getattr(import_module(f".samples.{module}", __package__), function)(seed=seed)
    return [
        Item(split, f"{name}_{split}_{number:02d}", lambda pair=pair: pair[:2])
        for split, pairs in made.items()
        for number, pair in enumerate(pairs)
    ]


LAYOUTS = {
    "folders": find_folders,
    "afm": find_afm,
    "archives": find_archives,
    "sets": find_sets,
    "pages": find_pages,
    "npz": find_npz,
    "sample": find_sample,
}


def _image_files(folder):
    return sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES)


def _find_one(source, end):
    found = [p for p in sorted(Path(source).rglob("*")) if f"/{p.as_posix()}".endswith(f"/{end}")]
    # an archive's own folder has the name of the archive and is no candidate
    found = [path for path in found if path.parent != Path(source)]
    if len(found) != 1:
        raise ValueError(f"{end}: expected once in the downloaded files, found {len(found)} times")
    return found[0]


def _pair(image_folder, mask_folder, image_end, mask_end):
    images = {p.stem.removesuffix(image_end): p for p in _image_files(image_folder)}
    masks = {p.stem.removesuffix(mask_end): p for p in _image_files(mask_folder)}
    if images.keys() != masks.keys() and len(images) == len(masks):
        # X0.tif and Y0.tif: some sets pair by order; digits count as numbers
        in_order = zip(sorted(images, key=_natural), sorted(masks, key=_natural), strict=True)
        masks = {image: masks[mask] for image, mask in in_order}
    alone = sorted(images.keys() ^ masks.keys())
    if alone:
        raise ValueError(
            f"{image_folder.parent.name}/{image_folder.name}: {len(images)} images and "
            f"{len(masks)} masks do not pair, for example {alone[0]}"
        )
    return [(name, images[name], masks[name]) for name in images]


def _natural(name):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _file_item(split, name, image_path, mask_path):
    return Item(split, name, lambda: (_read(image_path), _read(mask_path)))


def _array_items(split, images, masks):
    if len(images) != len(masks):
        raise ValueError(f"X_{split} has {len(images)} images, Y_{split} {len(masks)} masks")
    return [
        Item(split, f"{split}_{i:05d}", lambda i=i: (images[i], masks[i]))
        for i in range(len(images))
    ]


def _read(path):
    from helpers.images import read_image

    return read_image(path)


def _volume(path):
    if path.is_dir():
        return np.stack(
            [_read(p) for p in sorted(_image_files(path), key=lambda p: _natural(p.stem))]
        )
    return _read(path)
