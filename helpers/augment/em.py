"""What goes wrong in electron microscopy, done to training patches on purpose.

Tissue is bent, sections are shifted, lost or out of focus. Flips and quarter turns, which
lose nothing, are those of `helpers.augment.flip_and_turn`. The image is interpolated
linearly, the mask takes the nearest value; both always keep their shape.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from helpers.augment.basic import flip_and_turn, vary_intensity
from helpers.augment.bend import bend_tissue, check_pair

__all__ = [
    "augment_em",
    "bend_tissue",
    "blur_focus",
    "hide_sections",
    "misalign_sections",
]


def augment_em(
    image: np.ndarray,
    mask: np.ndarray,
    rng: np.random.Generator,
    *,
    bend: float = 0.3,
    misalign: float = 0.1,
    hide: float = 0.1,
    blur: float = 0.1,
) -> tuple[np.ndarray, np.ndarray]:
    """Return image and mask turned, bent and disturbed, each in its own way.

    Parameters
    ----------
    image, mask : ndarray, YX or ZYX
        A patch and its mask.
    rng : numpy.random.Generator
        Source of all draws.
    bend, misalign, hide, blur : float
        How often :func:`bend_tissue`, :func:`misalign_sections` (stacks only),
        :func:`hide_sections` and :func:`blur_focus` are used. Flips, turns and brightness
        change always.

    Returns
    -------
    image : ndarray of float32
    mask : ndarray, dtype of `mask`
    """
    image, mask = flip_and_turn(image, mask, rng)
    if rng.random() < bend:
        image, mask = bend_tissue(image, mask, rng)
    if image.ndim == 3 and rng.random() < misalign:
        image, mask = misalign_sections(image, mask, rng)
    if rng.random() < blur:
        image = blur_focus(image, rng)
    image = vary_intensity(image, rng, gain=(0.8, 1.25), offset=0.1, noise=0.05)
    if rng.random() < hide:
        image = hide_sections(image, rng)
    return image.astype(np.float32, copy=False), mask


def misalign_sections(
    image: np.ndarray,
    mask: np.ndarray,
    rng: np.random.Generator,
    *,
    largest: int = 8,
    slip: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a stack in which a section, or all from one on, lie shifted in their plane.

    Parameters
    ----------
    image, mask : ndarray, ZYX
        A stack of at least two sections and its mask, which is shifted alike.
    rng : numpy.random.Generator
        Draws the section and the shift.
    largest : int
        Largest shift along Y and X, in pixels; whole numbers, so nothing is interpolated.
    slip : float
        How often one section alone is shifted, instead of it and all behind it.

    Returns
    -------
    image, mask : ndarray
        Copies; what is shifted in is the mirror image.

    Raises
    ------
    ValueError
        If they are no stacks of one shape, or smaller than the shift.
    """
    check_pair(image, mask)
    if image.ndim != 3 or len(image) < 2 or min(image.shape[1:]) <= largest:
        raise ValueError(
            f"image has shape {image.shape}: give a stack ZYX of two sections or more, larger in "
            f"Y and X than the shift of {largest} pixels"
        )
    first = int(rng.integers(1, len(image)))
    last = first + 1 if rng.random() < slip else len(image)
    shift = rng.integers(-largest, largest + 1, 2)
    return tuple(_shift_planes(a, slice(first, last), shift) for a in (image, mask))


def _shift_planes(stack: np.ndarray, planes: slice, shift: Sequence[int]) -> np.ndarray:
    pads = [(max(0, s), max(0, -s)) for s in map(int, shift)]
    padded = np.pad(stack[planes], [(0, 0), *pads], mode="reflect")
    box = [slice(after, after + n) for (_, after), n in zip(pads, stack.shape[1:], strict=True)]
    shifted = stack.copy()
    shifted[planes] = padded[(slice(None), *box)]
    return shifted


def hide_sections(
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    n_most: int = 1,
    width: float = 0.15,
    value: float = 0.0,
) -> np.ndarray:
    """Return an image with missing sections; the mask goes on as if nothing had happened.

    Parameters
    ----------
    image : ndarray, YX or ZYX
        In a stack, one to `n_most` whole sections are lost; in a single section, a straight
        stripe at any angle.
    rng : numpy.random.Generator
        Draws what is lost.
    n_most : int
        Largest number of lost sections, fewer than the stack has.
    width : float
        Largest width of a stripe, as a share of the shorter side.
    value : float
        Grey value of what is lost, on the scale of the image.

    Returns
    -------
    ndarray, dtype of `image`
        A copy.

    Raises
    ------
    ValueError
        If all sections would be lost.
    """
    hidden = image.copy()
    if image.ndim == 2:
        hidden[_draw_stripe(image.shape, width, rng)] = value
        return hidden
    if not 1 <= n_most < len(image):
        raise ValueError(
            f"n_most is {n_most} for a stack of {len(image)} sections: give 1 or more, and fewer "
            "than there are"
        )
    lost = rng.choice(len(image), int(rng.integers(1, n_most + 1)), replace=False)
    hidden[lost] = value
    return hidden


def _draw_stripe(shape: tuple[int, int], width: float, rng) -> np.ndarray:
    angle = rng.uniform(0, np.pi)
    y, x = np.indices(shape, sparse=True)
    across = (y - rng.uniform(0, shape[0])) * np.cos(angle)
    across = across + (x - rng.uniform(0, shape[1])) * np.sin(angle)
    return np.abs(across) < rng.uniform(0, width) * min(shape) / 2


def blur_focus(image: np.ndarray, rng: np.random.Generator, *, largest: float = 1.5) -> np.ndarray:
    """Return an image out of focus: a Gaussian in the plane, alike for all sections.

    Parameters
    ----------
    image : ndarray of float, YX or ZYX
    rng : numpy.random.Generator
        Draws the standard deviation, uniformly up to `largest` pixels.
    largest : float
        In pixels.
    """
    sigma = (0,) * (image.ndim - 2) + (float(rng.uniform(0, largest)),) * 2
    return ndimage.gaussian_filter(image, sigma)
