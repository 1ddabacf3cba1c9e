"""Conversion to the project's layout: splits, labels, TIFF files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from .layouts import afm_name

__all__ = ["assign_splits", "prepare_pair", "write_items"]


def assign_splits(items, *, seed, val=0.15, test=0.0, val_from=""):
    """Return the items with a validation and a test split drawn where the source has none.

    Parameters
    ----------
    items : list of Item
        One item per source image.
    seed : int
        Seed of the draw; it is stored in the manifest.
    val, test : float or int
        A fraction of the images not yet in another split, or a number of images. At least one
        image is drawn, and at least one is left for training.
    val_from : str
        Validation images are drawn only from names that begin so.

    Returns
    -------
    items : list of Item
        Each with a split.
    drawn : list of str
        The splits that were drawn.
    """
    rng = np.random.default_rng(seed)
    items = [replace(item, split=item.split or "train") for item in items]
    drawn = []
    for split, share, start in (("test", test, ""), ("val", val, val_from)):
        pool = [i.name for i in items if i.split == "train" and i.name.startswith(start)]
        n_left = sum(item.split == "train" for item in items)
        if not share or any(item.split == split for item in items) or n_left < 2 or not pool:
            continue
        n = share if isinstance(share, int) else max(1, round(share * len(pool)))
        chosen = set(rng.permutation(pool)[: min(n, n_left - 1)])
        items = [
            replace(i, split=split) if i.split == "train" and i.name in chosen else i for i in items
        ]
        drawn.append(split)
    return items, drawn


def prepare_pair(image, mask, *, axes, masks="instances", background=0):
    """Return an image with the axes of the data set and its mask as labels.

    Parameters
    ----------
    image, mask : numpy.ndarray
        As read from the source.
    axes : str
        Axes of the data set: YX, ZYX or YXC.
    masks : str
        What the source's masks are: "instances" (labels), "components" (binary, every
        connected piece is an object), "planes" (one binary plane per object, first axis) or
        "semantic" (binary, stays so).
    background : int
        Value of the background in the source's labels.

    Returns
    -------
    image : numpy.ndarray
        Same values and dtype.
    labels : numpy.ndarray
        int32, 0 is background; 0 and 1 for "semantic".

    Raises
    ------
    ValueError
        If the shapes do not fit the axes or each other, or labels are not whole numbers.

    Notes
    -----
    Where planes overlap, the lower number wins. Pieces are connected over edges, not corners.
    """
    n_space = len(axes.replace("C", ""))
    image = _drop_singletons(image, len(axes))
    mask = _drop_singletons(mask, n_space + (masks == "planes"))
    if "C" in axes and image.ndim == len(axes) and image.shape[0] < image.shape[-1]:
        image = np.moveaxis(image, 0, -1)
    if "C" not in axes and image.ndim == len(axes) + 1 and image.shape[-1] in (3, 4):
        image = _grey(image)
    labels = _labels(mask, masks, n_space, background)
    if image.ndim != len(axes) or labels.shape != image.shape[: labels.ndim]:
        raise ValueError(f"image {image.shape} and mask {labels.shape} do not fit axes {axes}")
    return image, labels


def _drop_singletons(array, ndim):
    single = [axis for axis, n in enumerate(array.shape) if n == 1]
    return array.squeeze(tuple(single[: max(0, array.ndim - ndim)]))


def _grey(image):
    colours = image[..., :3]
    if not (colours == colours[..., :1]).all():
        raise ValueError(f"image {image.shape} has colours where grey is expected")
    return colours[..., 0]


def _labels(mask, kind, ndim, background):
    if kind == "planes" and mask.ndim == ndim + 1:
        labels = np.zeros(mask.shape[1:], np.int32)
        for label in range(len(mask), 0, -1):
            labels[mask[label - 1] > 0] = label
        return labels
    if mask.ndim == ndim + 1 and mask.shape[-1] in (3, 4):
        mask = _grey(mask)
    if kind == "semantic":
        return (mask > 0).astype(np.int32)
    if kind == "components":
        from skimage.measure import label

        return label(mask > 0, connectivity=1).astype(np.int32)
    labels = mask.astype(np.int32)
    if (labels != mask).any() or labels.min(initial=0) < 0:
        raise ValueError(f"mask holds {mask.dtype} values that are no labels 0, 1, 2, ...")
    return np.where(labels == background, 0, labels) if background else labels


def write_items(items, folder, entry, seed):
    """Write all images and masks of a data set.

    Parameters
    ----------
    items : list of Item
        Each with a split.
    folder : path
        Gets `SPLIT/images/NAME.tif` and `SPLIT/masks/NAME.tif`.
    entry : DataSet
        Says the axes, the pixel size and the options `pair`, `noise` and `groups`.
    seed : int
        Seed of the noise.

    Raises
    ------
    ValueError
        If an image and its mask do not fit the axes or each other.
    """
    from helpers.images import write_image, write_labels

    for number, item in enumerate(items):
        try:
            image, labels = prepare_pair(
                *item.load(), axes=entry.axes, **entry.options.get("pair", {})
            )
        except ValueError as error:
            raise ValueError(f"{entry.name}: {item.split} image {item.name}: {error}") from error
        image = _add_noise(image, item.split, [seed, number], **entry.options.get("noise", {}))
        split, name, size = folder / item.split, f"{item.name}.tif", _pixel_size(entry, item.name)
        write_image(split / "images" / name, image, axes=entry.axes, pixel_size_um=size)
        write_labels(split / "masks" / name, labels, pixel_size_um=size)
    if "groups" in entry.options:
        _write_groups(folder, entry.options["groups"], {item.name: item.split for item in items})


def _add_noise(image, split, seed, *, sigma=0, splits=()):
    from helpers.denoise.noise import add_gaussian_noise

    if split not in splits:
        return image
    return add_gaussian_noise(image, sigma=sigma, rng=np.random.default_rng(seed))


def _pixel_size(entry, name):
    by_name = entry.options.get("pixel_size_um", {})
    sizes = [size for start, size in by_name.items() if name.startswith(start)]
    return sizes[0] if sizes else entry.pixel_size_um


def _write_groups(folder, file_name, split_of):
    """Write which images show overlapping areas, under the names they have here."""
    groups = json.loads(Path(__file__).with_name(file_name).read_text("utf-8"))["groups"]
    groups = [
        [f"{split_of[name]}/{name}" for name in map(afm_name, group) if name in split_of]
        for group in groups
    ]
    (folder / "groups.json").write_text(json.dumps({"groups": groups}, indent=1) + "\n", "utf-8")
