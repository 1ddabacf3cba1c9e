"""What the networks of FPN2-WS learn: targets, and batches of patches with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from helpers.targets import border_ridge, normalized_distance

if TYPE_CHECKING:
    from helpers.augment.pipelines import Patches
    from helpers.fpn.loss import ValidationLoss

__all__ = ["find_contacts", "fpn_targets", "patch_batches", "patch_validation"]

MAPS_OF = {
    "distance": [0],
    "border": [1],
    "distance_border": [0, 1],
    "border_foreground": [1, 2],
    "distance_border_foreground": [0, 1, 2],
}
"""Which targets each network of :func:`helpers.fpn.build_networks` learns."""

UNKNOWN = -1  # in targets: what the labels of the patch cannot tell
FRAME_PX = 3  # the ridge along the cut side of a nucleus reaches so far into the patch
CONTACT_PX = 7  # side of the window


def fpn_targets(labels: np.ndarray) -> np.ndarray:
    """Return what the networks learn of label images.

    Parameters
    ----------
    labels : ndarray of int, YX or NYX
        Label images.

    Returns
    -------
    ndarray of float32, YX3 or NYX3
        :func:`~helpers.targets.normalized_distance`, :func:`~helpers.targets.border_ridge` with
        a blur of one pixel, and the foreground, 0 or 1.
    """
    if np.ndim(labels) == 3:
        return np.stack([fpn_targets(one) for one in labels])
    inside = np.asarray(labels) > 0
    return np.stack([normalized_distance(labels), border_ridge(labels), inside], axis=-1)


def find_contacts(labels: np.ndarray, *, window: int = CONTACT_PX) -> np.ndarray:
    """Return where two nuclei lie close together.

    Parameters
    ----------
    labels : ndarray of int, YX
        Label image.
    window : int
        Side of the square around a pixel in which two nuclei must have a pixel each.

    Returns
    -------
    ndarray of bool, YX

    Examples
    --------
    >>> find_contacts(np.array([[1, 1, 1, 0, 2, 0, 0]]), window=3).astype(int).tolist()
    [[0, 0, 0, 1, 0, 0, 0]]
    """
    labels = np.asarray(labels)
    none = labels.max(initial=0) + 1
    highest = ndimage.maximum_filter(labels, window)
    lowest = ndimage.minimum_filter(np.where(labels > 0, labels, none), window)
    return (highest > 0) & (lowest < highest)


def patch_batches(
    patches: Patches,
    *,
    batch_size: int = 16,
    seed: int = 0,
    network: str = "distance_border",
    contact_weight: float = 1.0,
) -> Callable[[int], Iterator[tuple]]:
    """Return the batches of a training, made of patches.

    Parameters
    ----------
    patches : Patches
        Of :func:`helpers.augment.pipelines.augment_many`.
    batch_size : int
        Patches in a batch (paper: 16).
    seed : int
        Seed of the order.
    network : str
        Whose targets: a name that :func:`helpers.fpn.build_networks` gives.
    contact_weight : float
        Weight of the pixels of :func:`find_contacts`; all others have 1. Where nuclei touch are
        few pixels, but they decide whether nuclei come apart (as in Ronneberger et al. 2015).

    Returns
    -------
    callable
        ``batches(epoch)`` for :func:`train_fpn`: endless ``(x, y, weight)``; every patch comes
        once before one comes again, in an order that depends on seed and epoch.

    Raises
    ------
    ValueError
        If there are no patches, or `network` is unknown.

    Notes
    -----
    Targets are -1 where the patch cannot tell: the distance in nuclei that its edge cuts (weight
    0 in `patches`), and their border along that edge. The losses of
    :func:`helpers.fpn.loss.make_loss` leave these pixels out. So nuclei too large for any patch
    still teach where the foreground ends.
    """
    _check_patches(patches, batch_size, network)

    def batches(epoch: int) -> Iterator[tuple]:
        rng, order = np.random.default_rng([seed, epoch]), np.empty(0, int)
        while True:
            while len(order) < batch_size:
                order = np.concatenate([order, rng.permutation(len(patches.images))])
            chosen, order = order[:batch_size], order[batch_size:]
            x, y = _examples(patches, chosen, network)
            touching = np.stack([find_contacts(one) for one in patches.labels[chosen]])
            yield x, y, np.where(touching, np.float32(contact_weight), np.float32(1))

    return batches


def patch_validation(
    patches: Patches, *, network: str = "distance_border", loss: str | Callable | None = None
) -> ValidationLoss:
    """Return the validation of a training: the loss on patches of validation images.

    Parameters
    ----------
    patches : Patches
        Of validation images, best made by a recipe without the groups of the pipeline.
    network : str
        As in :func:`patch_batches`.
    loss : str or callable, optional
        As in :func:`train_fpn`; that of the network when not given.

    Returns
    -------
    ValidationLoss
        ``validate`` of :func:`train_fpn`.

    Raises
    ------
    ValueError
        If there are no patches, or `network` is unknown.
    """
    from helpers.fpn.loss import ValidationLoss, choose_loss

    _check_patches(patches, 1, network)
    examples = _examples(patches, slice(None), network)
    return ValidationLoss(*examples, loss=loss or choose_loss(network))


def _examples(patches: Patches, chosen: np.ndarray | slice, network: str) -> tuple:
    x = patches.images[chosen].astype(np.float32) / 255
    y = fpn_targets(patches.labels[chosen])
    cut = patches.weights[chosen] == 0
    along_frame = np.ones(cut.shape[1:], bool)
    along_frame[FRAME_PX:-FRAME_PX, FRAME_PX:-FRAME_PX] = False
    y[..., 0][cut] = UNKNOWN
    y[..., 1][cut & along_frame] = UNKNOWN
    return x[..., None] if x.ndim == 3 else x, y[..., MAPS_OF[network]]


def _check_patches(patches: Patches, batch_size: int, network: str) -> None:
    if network not in MAPS_OF:
        raise ValueError(f"network is {network!r}: give one of {', '.join(map(repr, MAPS_OF))}")
    if not len(patches.images) or batch_size < 1:
        raise ValueError(
            f"got {len(patches.images)} patches and batch_size {batch_size}: give some"
        )
