"""The loss of EmbedSeg, for all objects of a batch at once and with static shapes."""

from __future__ import annotations

import math

import keras
from keras import ops

from helpers.embedseg.space import EmbeddingSpace

__all__ = ["EmbedSegLoss"]


@keras.saving.register_keras_serializable(package="microseg")
class EmbedSegLoss(keras.losses.Loss):
    """Loss of spatial embeddings: instance, variance and seed term.

    Parameters
    ----------
    space : EmbeddingSpace
        What the network's output means.
    max_objects : int
        Objects per crop that get a slot: labels 1 to `max_objects`. Pixels of larger labels
        count as "not this object" for all others, and have no seed term. Memory and time grow
        with it.
    foreground_weight : float
        Weight of object pixels in the seed term: 10 in 2D; in 3D rather the mean ratio of
        background to object voxels.
    weights : tuple of float
        Weights of the instance, variance and seed term, as published; a fourth adds the pull
        term, which a short training needs.

    Notes
    -----
    ``y_true`` is (N, Y, X, 2) or (N, Z, Y, X, 2): labels of the crop (0 background, -1 not
    annotated: such pixels count nowhere), and the centre map, which is 1 on one pixel of each
    object (`crop_batches` makes both). ``y_pred`` is the raw output, with 5 or 7 channels.
    Object k has centre C (its centre pixel; the mean position if it has not exactly one) and
    mean raw sigma s; phi_k as in `EmbeddingSpace`.

    - Instance: mean over objects of the Lovász hinge (Berman et al. 2018) of 2 phi_k - 1
      against the mask of k. Errors are sorted; the increments of the Jaccard index follow
      from ranks in closed form: 1 / U for a pixel of the object, I / (U (U - 1)) for another
      one, with U the union and I the rest of the intersection down to its rank.
    - Variance: mean over objects of the mean of (sigma - s)^2 over pixels and axes.
    - Seed: sum of p^2 on background and `foreground_weight` (p - phi_k)^2 on object k, divided
      by the number of annotated pixels; p is the sigmoid of the seed logit.
    - Pull (ours): mean over object pixels of |e - C|, in units of the space's radius. Where an
      object is longer than that radius, phi of its far pixels is 0 at first, and so is its
      gradient: the instance term alone then grows an object from its middle outwards. The pull
      reaches all pixels from the first step.

    No gradient passes through the increments, through s in the variance term and through
    phi_k in the seed term. A crop without objects has the background's seed term only.
    Formulas: Neven et al. 2019, Lalit et al. 2021.
    """

    def __init__(
        self,
        space: EmbeddingSpace,
        *,
        max_objects: int = 16,
        foreground_weight: float = 10.0,
        weights: tuple[float, ...] = (1.0, 10.0, 1.0),
        name: str = "embedseg_loss",
        **options,
    ):
        super().__init__(name=name, **options)
        if max_objects < 1:
            raise ValueError(f"max_objects is {max_objects}: give at least 1")
        if len(weights) not in (3, 4):
            raise ValueError(
                f"weights are {weights}: give those of the instance, variance and seed term, and "
                "of the pull term if wanted"
            )
        self.space = space if isinstance(space, EmbeddingSpace) else EmbeddingSpace(**space)
        self.max_objects, self.foreground_weight = int(max_objects), float(foreground_weight)
        self.weights = tuple(float(weight) for weight in weights)

    def call(self, y_true, y_pred):
        """Return the weighted sum of the terms for each crop, shape (N,)."""
        terms = self.terms(y_true, y_pred).values()
        return sum(weight * term for weight, term in zip(self.weights, terms, strict=True))

    def terms(self, y_true, y_pred) -> dict:
        """Return ``instance``, ``variance``, ``seed`` (and ``pull``), unweighted, shape (N,)."""
        ndim = self.space.ndim
        place = self._positions(ops.shape(y_pred))
        labels, centers = (_flatten(y_true[..., k : k + 1])[..., 0] for k in (0, 1))
        raw = _flatten(y_pred)
        embedding = place + self.space.reach * ops.tanh(raw[..., :ndim])
        sigma = raw[..., ndim : 2 * ndim]
        slots = ops.reshape(ops.arange(1, self.max_objects + 1, dtype=labels.dtype), (1, -1, 1))
        member = ops.cast(ops.equal(labels[:, None], slots), raw.dtype)
        n_pixels = ops.maximum(ops.sum(member, axis=-1), 1)
        mean_sigma = ops.matmul(member, sigma) / n_pixels[..., None]
        center = _find_centers(member, centers, place, n_pixels)
        phi = self._phi(embedding, center, mean_sigma)
        annotated = ops.cast(labels >= 0, raw.dtype)
        hinge = _lovasz_hinge(phi, member, annotated[:, None])
        terms = {
            "instance": _mean_over_objects(hinge, member),
            "variance": _vary(sigma, mean_sigma, member, n_pixels),
            "seed": self._miss_seeds(raw[..., -1], phi, member, labels) / _count(annotated),
        }
        return (
            terms
            if len(self.weights) == 3
            else {**terms, "pull": self._pull(embedding, center, member)}
        )

    def _pull(self, embedding, center, member):
        """Return how far pixels of objects point past their centre, in radii: (N,)."""
        one_of_them = ops.sum(member, axis=1)
        own = ops.matmul(ops.swapaxes(member, 1, 2), center)
        rounding = min(self.space.spacing) ** 2  # within a pixel, no direction is favoured
        away = ops.sqrt(ops.sum(ops.square(embedding - own), axis=-1) + rounding)
        return ops.sum(one_of_them * away, axis=-1) / _count(one_of_them) / self.space.radius

    def _positions(self, shape):
        """Return the pixels' places (1, pixels, axes), around 0 where float32 is finest."""
        sides, spacing = shape[1:-1], self.space.spacing
        steps = [
            (ops.cast(ops.arange(n), "float32") - ops.cast(n, "float32") / 2) * size
            for n, size in zip(sides, spacing, strict=True)
        ]
        grid = ops.stack(ops.meshgrid(*steps, indexing="ij"), axis=-1)
        return ops.reshape(grid, (1, -1, self.space.ndim))

    def _phi(self, embedding, center, sigma):
        """Return how well each pixel (N, P, D) fits each object (N, K, D): (N, K, P)."""
        shrink = ops.exp(5 * (sigma - 1)) / self.space.radius
        away = 0
        for axis in range(self.space.ndim):
            step = embedding[:, None, :, axis] - center[..., axis, None]
            away += ops.square(step * shrink[..., axis, None])
        return ops.exp(-math.log(2) * away)

    def _miss_seeds(self, logit, phi, member, labels):
        p = ops.sigmoid(logit)
        wanted = ops.stop_gradient(ops.sum(member * phi, axis=1))
        missed = ops.sum(member, axis=1) * ops.square(p - wanted)
        background = ops.cast(ops.equal(labels, 0), p.dtype)
        return ops.sum(background * ops.square(p) + self.foreground_weight * missed, axis=-1)

    def get_config(self) -> dict:
        """Return the arguments, for saving."""
        return {
            **super().get_config(),
            "space": self.space.to_dict(),
            "max_objects": self.max_objects,
            "foreground_weight": self.foreground_weight,
            "weights": self.weights,
        }


def _flatten(array):
    """Make one axis of all pixels: (N, P, channels), of known length where it is known."""
    sides = array.shape[1:-1]
    n_pixels = None if None in sides else math.prod(sides)
    first = ops.shape(array)[0] if n_pixels is None else -1
    return ops.reshape(array, (first, n_pixels or -1, array.shape[-1]))


def _count(member):
    return ops.maximum(ops.sum(member, axis=-1), 1)


def _find_centers(member, centers, place, n_pixels):
    """Return the place of each object's one centre pixel, else its mean place: (N, K, D)."""
    marked = member * centers[:, None]
    n_marked = ops.sum(marked, axis=-1)[..., None]
    mean = ops.matmul(member, place) / n_pixels[..., None]
    return ops.where(ops.equal(n_marked, 1), ops.matmul(marked, place), mean)


def _lovasz_hinge(phi, member, annotated):
    """Return the Lovász hinge of each object: (N, K)."""
    error = member * (2 - 2 * phi) + (1 - member) * 2 * phi
    error = annotated * error + (annotated - 1)  # not annotated: -1, sorted last, then cut off
    order = ops.stop_gradient(ops.argsort(-error, axis=-1))
    hit = ops.take_along_axis(member, order, axis=-1)
    hits = ops.cumsum(hit, axis=-1)
    ranks = ops.cast(ops.arange(1, ops.shape(order)[-1] + 1), phi.dtype)
    total = ops.sum(member, axis=-1, keepdims=True)
    union, rest = total + ranks - hits, total - hits
    increment = ops.where(hit > 0, 1 / union, rest / (union * ops.maximum(union - 1, 1)))
    increment = ops.stop_gradient(increment)
    return ops.sum(ops.relu(ops.take_along_axis(error, order, axis=-1)) * increment, axis=-1)


def _vary(sigma, mean_sigma, member, n_pixels):
    """Return how much sigma varies within objects: (N,)."""
    own_mean = ops.matmul(ops.swapaxes(member, 1, 2), ops.stop_gradient(mean_sigma))
    deviation = ops.mean(ops.square(sigma - own_mean), axis=-1)
    return _mean_over_objects(ops.matmul(member, deviation[..., None])[..., 0] / n_pixels, member)


def _mean_over_objects(values, member):
    present = ops.cast(ops.any(member > 0, axis=-1), values.dtype)
    return ops.sum(values * present, axis=-1) / _count(present)
