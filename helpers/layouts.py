"""Which image belongs to which mask, in every folder layout that is read."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers.formats import load_npz
from helpers.images import IMAGE_SUFFIXES, check_labels, file_stem, read_image_axes, read_labels

__all__ = [
    "Layout",
    "Pair",
    "Problem",
    "find_pairs",
    "list_images",
    "read_pair_image",
    "read_pair_labels",
]

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
IMAGE_FOLDERS = ("images", "image", "x", "raw")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "y", "gt")
MASK_TAIL = re.compile(r"[_-](cp_masks?|masks?|labels?|lbl|gt|seg|instances?|manual)$", re.I)
IMAGE_TAIL = re.compile(r"[_-](images?|img|raw|hi)$", re.I)
JUNK_NAMES = ("thumbs.db", "desktop.ini", "__macosx")
EXPECTED = (
    "expected are train, val and test with images and masks in each, one pair of folders images "
    "and masks, one folder per image with images and masks, or an npz file with X_train, Y_train"
)


@dataclass(frozen=True)
class Pair:
    """One image and its mask; `mask` is a tuple where each object has a file of its own."""

    name: str
    image: Path | np.ndarray
    mask: Path | tuple[Path, ...] | np.ndarray | None


@dataclass(frozen=True)
class Problem:
    """A file that takes no part, why, and how to mend it."""

    path: Path
    finding: str
    mend: str


@dataclass(frozen=True)
class Layout:
    """What a data folder holds.

    `pairs` has the keys train, val and test, as far as they exist, or the one key ``"all"``
    where the folder has no splits. `problems` are files without a partner, `ignored` are
    hidden files and files of other kinds.
    """

    root: Path
    pairs: dict[str, list[Pair]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    ignored: list[Path] = field(default_factory=list)


def find_pairs(root):
    """Return which image belongs to which mask in a data folder, without reading pixels.

    Parameters
    ----------
    root : path
        A folder in one of the layouts of the notes, or an npz file.

    Returns
    -------
    Layout
        Pairs by split, files without a partner, and files left out.

    Raises
    ------
    FileNotFoundError
        If `root` does not exist.
    ValueError
        If no layout fits, or two folders claim to be the same thing.

    Notes
    -----
    Layouts: ``train|val|test / images|masks / FILE`` (``valid`` and ``validation`` count as
    ``val``, ``x`` and ``y`` as ``images`` and ``masks``); the pair ``images``, ``masks`` alone;
    ``ID/images/FILE`` with ``ID/masks/*``, one file per object, which may also lie in split
    folders; npz files with ``X_train``, ``Y_train`` and so on.

    Image and mask belong together if their names without ending are equal, or become equal
    without one of the usual ends of mask names (``_mask``, ``_labels``, ``_gt``, ``_cp_masks``
    ...) and of image names (``_raw``, ``_img``, ``_hi`` ...). Sort order is never used.
    """
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist: check the path of the data folder")
    if root.is_file() and root.suffix.lower() != ".npz":
        raise ValueError(f"{root} is one file: give the folder of the data set, or an npz file")
    layout = Layout(root)
    folders = _split_folders(root) if root.is_dir() else {}
    for split, folder in folders.items():
        layout.pairs[split] = _find_in(folder, layout)
    if not folders:
        npz_files = [root] if root.is_file() else sorted(root.glob("[!.]*.npz"))
        if npz_files and (root.is_file() or not _subfolder(root, IMAGE_FOLDERS)):
            _find_in_npz(npz_files, layout)
        else:
            layout.pairs["all"] = _find_in(root, layout)
    if not any(layout.pairs.values()) and not layout.problems:
        raise ValueError(f"{root} holds no images in a known layout: {EXPECTED}")
    return layout


def _split_folders(root):
    found = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        split = SPLIT_NAMES.get(folder.name.lower())
        if split in found:
            raise ValueError(
                f"{root}: {found[split].name} and {folder.name} both mean {split}; rename one"
            )
        if split:
            found[split] = folder
    return {split: found[split] for split in ("train", "val", "test") if split in found}


def _find_in(folder, layout):
    images, masks = _subfolder(folder, IMAGE_FOLDERS), _subfolder(folder, MASK_FOLDERS)
    if images:
        mask_files = _image_files(masks, layout) if masks else []
        return _pair_files(_image_files(images, layout), mask_files, layout)
    subfolders = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    by_image = [path for path in subfolders if _subfolder(path, IMAGE_FOLDERS)]
    if by_image:
        pairs = [_find_one_per_folder(path, layout) for path in by_image]
        return [pair for pair in pairs if pair]
    return [Pair(file_stem(path), path, None) for path in _image_files(folder, layout)]


def _subfolder(folder, names):
    found = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    found = [path for path in found if path.name.lower() in names]
    if len(found) > 1:
        raise ValueError(
            f"{folder}: {' and '.join(path.name for path in found)} mean the same; keep one"
        )
    return found[0] if found else None


def _image_files(folder, layout):
    files = []
    for path in sorted(folder.iterdir(), key=_natural_order):
        is_junk = path.name.startswith((".", "~")) or path.name.lower() in JUNK_NAMES
        is_image = path.suffix.lower() in IMAGE_SUFFIXES
        is_image = is_image and (path.is_file() or path.suffix.lower() == ".zarr")
        (files if is_image and not is_junk else layout.ignored).append(path)
    return files


def _natural_order(path):
    """Sort 2 before 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]


def _pair_files(images, masks, layout):
    pairs, taken = {}, set()
    rounds = (
        (file_stem, file_stem),
        (file_stem, _mask_key),
        (_image_key, file_stem),
        (_image_key, _mask_key),
    )
    for image_key, mask_key in rounds:
        left = [path for path in images if path not in pairs]
        free = [path for path in masks if path not in taken]
        by_image, by_mask = _group(left, image_key), _group(free, mask_key)
        for key in by_image.keys() & by_mask.keys():
            if len(by_image[key]) == len(by_mask[key]) == 1:
                pairs[by_image[key][0]] = by_mask[key][0]
                taken.add(by_mask[key][0])
    _report_lonely([path for path in images if path not in pairs], images, "mask", layout)
    _report_lonely([path for path in masks if path not in taken], masks, "image", layout)
    return [Pair(file_stem(path), path, pairs[path]) for path in images if path in pairs]


def _image_key(path):
    return IMAGE_TAIL.sub("", file_stem(path))


def _mask_key(path):
    return MASK_TAIL.sub("", file_stem(path))


def _group(paths, key):
    groups = {}
    for path in paths:
        groups.setdefault(key(path), []).append(path)
    return groups


def _report_lonely(lonely, files, partner, layout):
    same_stem = _group(files, file_stem)
    for path in lonely:
        twins = [twin.name for twin in same_stem[file_stem(path)] if twin != path]
        if twins:
            finding = f"has the same name as {', '.join(twins)}"
            mend = "keep one of the files; a name stands for one image"
        else:
            finding = f"has no {partner} of the same name"
            mend = f"add or rename the {partner}, or move this file out of the data folder"
        layout.problems.append(Problem(path, finding, mend))


def _find_one_per_folder(folder, layout):
    images = _image_files(_subfolder(folder, IMAGE_FOLDERS), layout)
    masks = _subfolder(folder, MASK_FOLDERS)
    mask_files = _image_files(masks, layout) if masks else []
    if len(images) == 1 and mask_files:
        return Pair(folder.name, images[0], tuple(mask_files))
    finding = f"holds {len(images)} images and {len(mask_files)} masks"
    mend = "each such folder needs one image and, in masks, one file per object"
    layout.problems.append(Problem(folder, finding, mend))
    return None


def _find_in_npz(files, layout):
    arrays = {}
    for path in files:
        for key, array in load_npz(path).items():
            part, _, split = key.lower().partition("_")
            if part not in "xy" or split not in SPLIT_NAMES:
                continue
            if (part, SPLIT_NAMES[split]) in arrays:
                raise ValueError(f"{path}: {key} is there a second time; keep one")
            arrays[part, SPLIT_NAMES[split]] = path, array
    if not arrays:
        names = ", ".join(path.name for path in files[:5])
        raise ValueError(f"{names}: no X_train, Y_train, X_test ... inside; {EXPECTED}")
    for split in ("train", "val", "test"):
        if ("x", split) in arrays or ("y", split) in arrays:
            layout.pairs[split] = _pair_arrays(split, arrays, layout)


def _pair_arrays(split, arrays, layout):
    for part in "xy":
        if (part, split) in arrays:
            _check_array(*arrays[part, split], f"{part.upper()}_{split}")
    (path, x), (_, y) = (arrays.get((part, split), (None, ())) for part in "xy")
    if len(x) != len(y):
        path = path or arrays["y", split][0]
        finding = f"has {len(x)} images in X_{split} and {len(y)} masks in Y_{split}"
        layout.problems.append(Problem(path, finding, "save as many masks as images"))
    drop = [array.ndim > 3 and array.shape[-1] == 1 for array in map(np.asarray, (x, y))]
    x, y = (array[..., 0] if one else array for array, one in zip((x, y), drop, strict=True))
    return [
        Pair(f"{split}_{i:04d}", image, mask)
        for i, (image, mask) in enumerate(zip(x, y, strict=False))
    ]


def _check_array(path, array, name):
    n_axes = array.ndim - (array.ndim > 3 and array.shape[-1] == 1)
    if n_axes not in (3, 4) or not array.size or array.dtype.kind not in "biuf":
        raise ValueError(
            f"{path.name}: {name} has shape {array.shape} and type {array.dtype}; save images as "
            "numbers with axes NYX, NZYX or NYXC, masks with NYX or NZYX"
        )


def list_images(folder):
    """Return the image files of a folder, or of its subfolder `images`, 2 before 10.

    Hidden files and files of other kinds are left out.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: check its path")
    return _image_files(_subfolder(folder, IMAGE_FOLDERS) or folder, Layout(folder))


def read_pair_image(pair):
    """Return the image of a pair and its axes; see `helpers.images.read_image_axes`."""
    if isinstance(pair.image, Path):
        return read_image_axes(pair.image)
    has_channels = pair.image.ndim == 3 and pair.image.shape[-1] <= 4
    return pair.image, "YXC" if has_channels else "ZYX"[3 - pair.image.ndim :]


def read_pair_labels(pair):
    """Return the labels of a pair as int32; see `helpers.images.read_labels`.

    Notes
    -----
    Of one file per object, the file whose name sorts first (2 before 10) becomes label 1.
    Where objects overlap the lower number wins.
    """
    if isinstance(pair.mask, Path):
        return read_labels(pair.mask)
    if not isinstance(pair.mask, tuple):
        return check_labels(pair.mask, pair.name).astype(np.int32)
    masks = [read_labels(path) > 0 for path in pair.mask]
    if len({mask.shape for mask in masks}) > 1:
        shapes = ", ".join(sorted({str(mask.shape) for mask in masks}))
        raise ValueError(f"{pair.name}: its masks differ in shape ({shapes}); export them again")
    labels = np.zeros(masks[0].shape, np.int32)
    for number, mask in reversed(list(enumerate(masks, start=1))):
        labels[mask] = number
    return labels
