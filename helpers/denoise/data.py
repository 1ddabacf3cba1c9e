"""Noisy data with and without labels or clean images, and the denoised copy of a data folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from helpers.datasets import Split, load_dataset, load_images
from helpers.denoise.noise import add_gaussian_noise
from helpers.images import file_stem, read_image, write_image, write_labels
from helpers.layouts import find_pairs, list_images
from helpers.splits import SPLITS, split_by_source

__all__ = ["NoisyData", "load_noisy", "save_denoised"]


@dataclass(frozen=True)
class NoisyData:
    """What a folder of noisy images holds.

    Attributes
    ----------
    splits : dict of Split
        Train, val and test; `masks` are empty where the folder has none.
    clean : dict of list of ndarray
        Clean images in the order of the split, for the splits that have them all.
    unlabelled : list of ndarray
        Further noisy images, good for learning what is noise.
    """

    splits: dict[str, Split]
    clean: dict[str, list[np.ndarray]] = field(repr=False)
    unlabelled: list[np.ndarray] = field(repr=False)

    def with_noise(self, *, sigma: float, seed: int = 42) -> NoisyData:
        """Return the same data with Gaussian noise added; what was given becomes the clean one.

        Parameters
        ----------
        sigma : float
            Standard deviation in grey levels; 0 changes nothing.
        seed : int
            Of the noise; each split has its own stream.
        """
        if sigma == 0:
            return self
        streams = np.random.default_rng(seed).spawn(len(self.splits) + 1)
        add = partial(add_gaussian_noise, sigma=sigma)
        splits = {
            name: replace(split, images=[add(x, rng=rng) for x in split.images])
            for rng, (name, split) in zip(streams, self.splits.items(), strict=False)
        }
        clean = {name: split.images for name, split in self.splits.items()}
        return NoisyData(splits, clean, [add(x, rng=streams[-1]) for x in self.unlabelled])


def load_noisy(root: str | Path, *, seed: int = 42) -> NoisyData:
    """Read a folder of noisy images; labels and clean images are welcome but not needed.

    Parameters
    ----------
    root : path
        A data folder as for `helpers.datasets.load_dataset`, or images alone. Beside
        ``images`` may lie ``clean`` (the same names without noise) and ``unlabelled`` (more
        noisy images).
    seed : int
        Chooses the images of the splits that the folder does not have.

    Returns
    -------
    NoisyData

    Raises
    ------
    FileNotFoundError
        If `root` does not exist.
    ValueError
        If a file cannot be read, an image is in colour, there are fewer than three images, or
        a clean image has another shape than the noisy one.
    """
    root = Path(root)
    layout = find_pairs(root)
    if any(pair.mask is not None for pairs in layout.pairs.values() for pair in pairs):
        splits = load_dataset(root, seed=seed)
    else:
        splits = _split_images(root, layout, seed)
    for split in splits.values():
        _refuse_colour(split)
    clean = {name: _read_clean(root, split) for name, split in splits.items()}
    folders = [root / "unlabelled", root / "train" / "unlabelled"]
    unlabelled = [
        read_image(path) for folder in folders if folder.is_dir() for path in list_images(folder)
    ]
    return NoisyData(splits, {name: found for name, found in clean.items() if found}, unlabelled)


def _refuse_colour(split: Split) -> None:
    for name, image in zip(split.names, split.images, strict=True):
        if image.ndim > 2 and image.shape[-1] in (3, 4):  # no stack is so narrow
            raise ValueError(
                f"{name} has {image.shape[-1]} colour channels where grey is expected: save the "
                "channel with the objects, image[..., 0] for the first, or image.mean(-1)"
            )


def save_denoised(
    to: str | Path,
    splits: dict[str, Split],
    denoised: dict[str, Sequence[np.ndarray]],
    *,
    facts: dict,
    clean: dict[str, Sequence[np.ndarray]] | None = None,
) -> Path:
    """Write denoised images with the labels of the noisy ones, as a data folder of its own.

    Parameters
    ----------
    to : path
        The folder to make. If it was made by this function before, it is replaced.
    splits : dict of Split
        The noisy data: names, labels and pixel size.
    denoised : dict of sequence of ndarray
        Denoised images in the order of each split.
    facts : dict
        For ``dataset.toml``, such as what denoised them.
    clean : dict, optional
        Clean images to write beside them.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    ValueError
        If the folder exists and holds something else, or numbers of images differ.
    """
    from data_download.datasets import new_folder
    from data_download.manifest import write_manifest

    for name, split in splits.items():
        if len(denoised[name]) != len(split):
            raise ValueError(
                f"denoised[{name!r}] has {len(denoised[name])} images, the split {len(split)}"
            )
    fixed = {
        "title": "Denoised images",
        "modality": "as the noisy images",
        "axes": "YX" if next(iter(splits.values())).images[0].ndim == 2 else "ZYX",
        "licence": "as the noisy images",
        "source": "made by notebook 02_n2v_denoising",
    }
    with new_folder(to, overwrite=True) as folder:
        for name, split in splits.items():
            _write_split(folder / name, split, denoised[name], (clean or {}).get(name, ()))
        write_manifest(folder, fixed | facts)
    return Path(to)


def _write_split(folder: Path, split: Split, images, clean) -> None:
    size = split.pixel_size_um
    kinds = {"images": (write_image, images), "masks": (write_labels, split.masks)}
    kinds["clean"] = (write_image, clean)
    for kind, (write, arrays) in kinds.items():
        for name, array in zip(split.names, arrays, strict=False):  # masks, clean may be empty
            write(folder / kind / f"{name}.tif", array, pixel_size_um=size)


def _split_images(root: Path, layout, seed: int) -> dict[str, Split]:
    found = {name: pairs for name, pairs in layout.pairs.items() if name in SPLITS}
    if set(found) != set(SPLITS):
        whole = load_images(root)
        if len(whole) < len(SPLITS):
            raise ValueError(
                f"{root} holds {len(whole)} images: give at least three, one each to train, "
                "validate and test, or cut a large image into regions that do not touch"
            )
        parts = split_by_source(whole.names, seed=seed)
        place = {name: i for i, name in enumerate(whole.names)}
        note = f"{len(whole)} images without splits were divided by source image, seed {seed}."
        return {
            split: Split(
                split, names, [whole.images[place[n]] for n in names], [], whole.pixel_size_um, note
            )
            for split, names in parts.items()
        }
    splits = {}
    for name in SPLITS:
        whole = load_images(root / name)
        splits[name] = Split(name, whole.names, whole.images, [], whole.pixel_size_um)
    return splits


def _read_clean(root: Path, split: Split) -> list[np.ndarray]:
    for folder in (root / split.name / "clean", root / "clean"):
        if not folder.is_dir():
            continue
        by_name = {file_stem(path): path for path in list_images(folder)}
        if not all(name in by_name for name in split.names):
            continue
        images = [read_image(by_name[name]) for name in split.names]
        for name, noisy, image in zip(split.names, split.images, images, strict=True):
            if noisy.shape != image.shape:
                raise ValueError(
                    f"{by_name[name]} has shape {image.shape}, the noisy image {noisy.shape}: "
                    "clean and noisy must show the same field"
                )
        return images
    return []
