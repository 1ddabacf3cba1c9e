"""The imgaug pipelines, and how one is applied to an image and its labels."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from imgaug.augmenters import Augmenter

__all__ = ["GROUPS", "augment_pair", "check_groups", "default_pipeline", "published_pipeline"]

GROUPS = ("geometry", "contrast", "noise", "blur")
"""The parts of a pipeline that a study can leave out."""


def augment_pair(
    image: np.ndarray, labels: np.ndarray, pipeline: Augmenter, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Apply one draw of an imgaug pipeline to an image and its labels.

    Parameters
    ----------
    image : ndarray of uint8, YX or YXC
        A patch.
    labels : ndarray of int, YX
        Its labels. They follow the geometry of the image, nearest neighbour; their ids stay.
    pipeline : imgaug.augmenters.Augmenter
        Any; it is seeded anew by `seed`.
    seed : int
        The same seed gives the same draw.

    Returns
    -------
    image : ndarray of uint8
        Changed copy.
    labels : ndarray of int32
        Changed copy.

    Raises
    ------
    ValueError
        If the image is not uint8 or shapes differ.
    """
    from imgaug.augmentables.segmaps import SegmentationMapsOnImage

    image, labels = np.asarray(image), np.asarray(labels)
    if image.dtype != np.uint8:
        raise ValueError(f"image has dtype {image.dtype}: give uint8, as to_uint8 makes it")
    if labels.dtype.kind not in "iub" or labels.ndim != 2 or image.shape[:2] != labels.shape:
        raise ValueError(
            f"image has shape {image.shape}, labels {labels.shape} and dtype {labels.dtype}: give "
            "one patch and its label image"
        )
    # imgaug changes single-channel images more surely with an axis for it
    channels = image[..., None] if image.ndim == 2 else image
    maps = SegmentationMapsOnImage(labels.astype(np.int32), shape=channels.shape)
    _seed_pipeline(pipeline, seed)
    new_image, new_maps = pipeline(image=channels.copy(), segmentation_maps=maps)
    return new_image.reshape(new_image.shape[: image.ndim]), new_maps.get_arr().astype(np.int32)


def _seed_pipeline(pipeline: Augmenter, seed: int) -> None:
    pipeline.seed_(seed)
    # imgaug 0.4.0 forgets a OneOf or Sequential that is the branch of a Sometimes
    for k, branch in enumerate(_list_branches(pipeline), start=1):
        branch.seed_((seed + k) % 2**31)


def _list_branches(augmenter: Augmenter) -> Iterator[Augmenter]:
    from imgaug.augmenters import Augmenter

    for children in augmenter.get_children_lists():
        if isinstance(children, Augmenter) and children is not augmenter:
            yield children
        for child in children:
            yield from _list_branches(child)


def published_pipeline(*, without: Collection[str] = ()) -> Augmenter:
    """Make the augmentation of FPN2-WS: order, odds and ranges as published.

    Parameters
    ----------
    without : collection of str
        Groups that change nothing, for studies: "geometry", "contrast", "noise", "blur". The
        odds of the others stay as they are.

    Returns
    -------
    imgaug.augmenters.Sequential
        1. One of: left-right flip, up-down flip, rotation by 90, 180 or 270 degrees.
        2. CLAHE (local contrast) with a clip limit of 5 to 50, once or, in half of the
           patches, twice.
        3. Noise or blur, one of both. Noise is one of: impulse 0.1 to 15 % of the pixels,
           Poisson with a mean of 0 to 20 and random sign, Gaussian with a standard deviation
           of 0.255 to 25.5 grey values, dropout of 1 to 10 %; so each has odds of 1/8. Blur is
           one of: Gaussian with σ of 1 to 9 pixels, median of 1 to 5 pixels; each 1/4.

    Notes
    -----
    It always changes the contrast, which prediction never does, and blurs strongly; see
    :func:`default_pipeline` for a milder one. Source: Zaki et al. 2020.
    """
    from imgaug import augmenters as iaa

    check_groups(without)
    steps = {
        "geometry": iaa.OneOf(
            [iaa.Fliplr(1.0), iaa.Flipud(1.0), iaa.Rot90((1, 3), keep_size=False)]
        ),
        "contrast": iaa.Sequential(
            [iaa.CLAHE(clip_limit=(5, 50)), iaa.Sometimes(0.5, iaa.CLAHE(clip_limit=(5, 50)))]
        ),
        "noise": iaa.OneOf(
            [
                iaa.ImpulseNoise((0.001, 0.15)),
                iaa.AdditivePoissonNoise((0, 20)),
                iaa.AdditiveGaussianNoise(scale=(0.255, 25.5)),
                iaa.Dropout((0.01, 0.1)),
            ]
        ),
        "blur": iaa.OneOf([iaa.GaussianBlur((1, 9)), iaa.MedianBlur((1, 5))]),
    }
    steps |= {group: iaa.Identity() for group in without}
    noise_or_blur = iaa.OneOf([steps["noise"], steps["blur"]])
    return iaa.Sequential([steps["geometry"], steps["contrast"], noise_or_blur])


def default_pipeline(*, without: Collection[str] = ()) -> Augmenter:
    """Make a mild augmentation for grey microscopy images.

    Parameters
    ----------
    without : collection of str
        Groups that change nothing, for studies: "geometry", "contrast", "noise", "blur".

    Returns
    -------
    imgaug.augmenters.Sequential
        1. One of the eight flips and turns of a square, equally likely.
        2. In half of the patches: gamma of 0.7 to 1.5, or contrast times 0.7 to 1.3.
        3. In half: brightness times 0.8 to 1.2.
        4. In a third: Gaussian noise with a standard deviation of up to 13 grey values.
        5. In a fifth: Gaussian blur with σ of 0.3 to 1.5 pixels.

    Notes
    -----
    Most patches stay sharp and keep the contrast that prediction will see. Sizes vary by the
    scales of the :class:`Recipe`.
    """
    from imgaug import augmenters as iaa

    check_groups(without)
    contrast = iaa.OneOf([iaa.GammaContrast((0.7, 1.5)), iaa.LinearContrast((0.7, 1.3))])
    steps = {
        "geometry": [iaa.Fliplr(0.5), iaa.Rot90((0, 3), keep_size=False)],
        "contrast": [iaa.Sometimes(0.5, contrast), iaa.Sometimes(0.5, iaa.Multiply((0.8, 1.2)))],
        "noise": [iaa.Sometimes(1 / 3, iaa.AdditiveGaussianNoise(scale=(0, 13)))],
        "blur": [iaa.Sometimes(0.2, iaa.GaussianBlur((0.3, 1.5)))],
    }
    return iaa.Sequential([s for group in steps if group not in without for s in steps[group]])


def check_groups(without: Collection[str], groups: Collection[str] = GROUPS) -> None:
    """Raise ValueError if `without` names anything but `groups`."""
    if isinstance(without, str) or (unknown := sorted(set(without) - set(groups))):
        unknown = [without] if isinstance(without, str) else unknown
        raise ValueError(
            f"without has {', '.join(unknown)}: give a tuple with some of {', '.join(groups)}"
        )
