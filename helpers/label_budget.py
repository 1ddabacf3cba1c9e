"""How many labels a training may use, which ones, and the patches they lie on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = [
    "FRACTIONS",
    "choose_labelled",
    "choose_within_budget",
    "count_labelled",
    "cut_patches",
    "divide_budget",
    "draw_positions",
]

# Shares of the training patches in the curves of VoidSeg (Prakash et al. 2020).
FRACTIONS = (0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0)


def count_labelled(n: int, fraction: float) -> int:
    """Return how many of `n` training patches a fraction of them is.

    Parameters
    ----------
    n : int
        Number of training patches (or images).
    fraction : float
        Above 0, at most 1; the published ones are `FRACTIONS`.

    Returns
    -------
    int
        ``round(fraction * n)``.

    Raises
    ------
    ValueError
        If `fraction` is not in its range, or the result is 0.

    Examples
    --------
    >>> [count_labelled(748, fraction) for fraction in FRACTIONS]
    [2, 4, 7, 15, 30, 60, 120, 239, 479, 748]
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is {fraction}: give a share above 0, at most 1 (1 is all)")
    count = round(fraction * n)
    if not count:
        raise ValueError(
            f"fraction is {fraction}, which of n = {n} is less than half a patch: give a fraction "
            f"of at least {1 / max(n, 1):.2g}, or more patches"
        )
    return count


def choose_labelled(n: int, k: int, seed: int) -> np.ndarray:
    """Return which `k` of `n` training patches count as labelled.

    Parameters
    ----------
    n, k : int
        Number of patches (or images), and how many of them have labels, 0 to `n`.
    seed : int
        Each seed has its own order of the patches.

    Returns
    -------
    ndarray of int, (k,)
        Indices, the first k of the order; so the choice for a smaller k is a part of that for
        a larger one, and curves over k compare like with like.

    Raises
    ------
    ValueError
        If `k` is negative or larger than `n`.

    Notes
    -----
    The order is ``RandomState(seed).permutation(n)``, whose numbers NumPy keeps for good.

    Examples
    --------
    >>> choose_labelled(5, 2, seed=1).tolist(), choose_labelled(5, 3, seed=1).tolist()
    ([2, 1], [2, 1, 4])
    """
    if not 0 <= k <= n:
        raise ValueError(f"k is {k}, but there are n = {n}: give a number from 0 to {n}")
    return np.random.RandomState(seed).permutation(n)[:k]


def divide_budget(k: int, *, val_share: float = 0.2) -> tuple[int, int]:
    """Return how many of `k` labels are for training and how many for validation.

    Parameters
    ----------
    k : int
        All labels that someone has to draw, 2 or more.
    val_share : float
        Share for validation, between 0 and 1.

    Returns
    -------
    n_train, n_val : int
        At least 1 each; their sum is `k`.

    Raises
    ------
    ValueError
        If `k` is below 2 or `val_share` is not between 0 and 1.

    Notes
    -----
    Checkpoints and thresholds that are chosen on 670 labelled validation patches make "10
    labels" cost 680. Here validation is paid from the same purse. Neither number falls where
    `k` grows, so the choices stay nested.

    Examples
    --------
    >>> [divide_budget(k) for k in (2, 10, 76)]
    [(1, 1), (8, 2), (61, 15)]
    """
    if k < 2:
        raise ValueError(f"k is {k}: training and validation need one label each, give 2 or more")
    if not 0 < val_share < 1:
        raise ValueError(f"val_share is {val_share}: give a share between 0 and 1, such as 0.2")
    n_val = min(max(1, int(val_share * k + 0.5)), k - 1)
    return k - n_val, n_val


def choose_within_budget(
    n_train: int, n_val: int, k: int, *, seed: int, val_share: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    """Return which training and which validation patches are labelled, `k` in all.

    Parameters
    ----------
    n_train, n_val : int
        Patches in the two splits.
    k : int
        All labels, of both splits together.
    seed : int
        Each seed has its own orders.
    val_share : float
        See `divide_budget`.

    Returns
    -------
    train, val : ndarray of int
        Indices into the two splits, nested over `k` as in `choose_labelled`.

    Raises
    ------
    ValueError
        As `divide_budget`, or if a split has fewer patches than its part of the budget.

    Examples
    --------
    >>> [len(part) for part in choose_within_budget(3800, 670, 10, seed=1)]
    [8, 2]
    """
    parts = divide_budget(k, val_share=val_share)
    for name, n, part in zip(("n_train", "n_val"), (n_train, n_val), parts, strict=True):
        if part > n:
            raise ValueError(
                f"{name} is {n}, but its part of k = {k} labels is {part}: lower k, or change "
                f"val_share ({val_share})"
            )
    # a second stream, so that validation does not repeat the order of training
    val = np.random.RandomState([seed, 1]).permutation(n_val)[: parts[1]]
    return choose_labelled(n_train, parts[0], seed), val


def draw_positions(shape: Sequence[int], *, size: int, n: int, seed: int) -> np.ndarray:
    """Return where random square patches of one image begin.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image.
    size : int
        Side of the patches in pixels, at most the shorter side of the image.
    n : int
        Number of patches; an image with room for fewer different ones gives that many.
    seed : int
        Images of one shape have the same positions for the same seed.

    Returns
    -------
    ndarray of int, (patches, 2)
        First row and column of each patch. Patches can overlap and repeat.

    Raises
    ------
    ValueError
        If a side of the image is shorter than `size`, or `size` or `n` is below 1.

    Notes
    -----
    The numbers of scikit-learn's ``extract_patches_2d(image, (size, size), max_patches=n,
    random_state=seed)``: all rows are drawn first, then all columns.
    """
    if size < 1 or n < 1:
        raise ValueError(f"size is {size} and n is {n}: give a side and a number, 1 or more")
    room = [side - size + 1 for side in shape]
    if len(room) != 2 or min(room) < 1:
        raise ValueError(
            f"image has shape {tuple(shape)}, from which no patch of {size} x {size} can be cut: "
            "choose a smaller patch, or leave the image out"
        )
    rng, n = np.random.RandomState(seed), min(n, room[0] * room[1])
    return np.stack([rng.randint(places, size=n) for places in room], axis=1)


def cut_patches(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    *,
    size: int = 128,
    n_per_image: int = 10,
    seed: int = 0,
    skip_small: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut random square patches from images and, at the same places, from their masks.

    Parameters
    ----------
    images : sequence of ndarray, YX or YXC
        May differ in shape, not in the number of channels.
    masks : sequence of ndarray of int, YX
        Label image of each image, 0 is background.
    size : int
        Side of the patches in pixels.
    n_per_image : int
        Patches of each image; fewer where it has no room for so many different ones.
    seed : int
        See `draw_positions`.
    skip_small : bool
        Leave images out that are smaller than a patch.

    Returns
    -------
    patches : ndarray, NYX or NYXC
        Of the images' dtype.
    labels : ndarray of int32, NYX
        The objects of each patch, numbered 1, 2, ... without gaps. An object that the frame
        cuts in two keeps one number.
    source : ndarray of int, (N,)
        Index of the image of each patch: split by it, for patches of one image can overlap.

    Raises
    ------
    ValueError
        If images and masks do not fit, or an image is smaller than a patch (all are, with
        `skip_small`).
    """
    from helpers.doctor.repair import relabel

    _check_pairs(images, masks)
    patches, labels, source = [], [], []
    for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
        if skip_small and min(mask.shape) < size:
            continue
        try:
            positions = draw_positions(mask.shape, size=size, n=n_per_image, seed=seed)
        except ValueError as error:
            raise ValueError(f"images[{index}]: {error} (skip_small=True)") from error
        for y, x in positions:
            box = slice(y, y + size), slice(x, x + size)
            patches.append(image[box])
            labels.append(relabel(mask[box]))
        source += [index] * len(positions)
    if not patches:
        raise ValueError(f"none of {len(images)} images holds a patch of {size} x {size}")
    return np.stack(patches), np.stack(labels), np.array(source)


def _check_pairs(images, masks):
    if len(images) != len(masks):
        raise ValueError(f"there are {len(images)} images and {len(masks)} masks: give one each")
    for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
        if np.ndim(mask) != 2 or np.shape(image)[:2] != np.shape(mask) or np.ndim(image) > 3:
            raise ValueError(
                f"images[{index}] has shape {np.shape(image)}, its mask {np.shape(mask)}: give "
                "images with axes YX or YXC and masks of the same height and width"
            )
