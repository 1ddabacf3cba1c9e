"""The space that pixels are moved in: what a network's raw output means in pixels or µm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

__all__ = ["EmbeddingSpace"]


@dataclass(frozen=True)
class EmbeddingSpace:
    """Fixed scales that turn raw network output into offsets and bandwidths.

    Parameters
    ----------
    spacing : sequence of float
        Pixel or voxel size in the order of the axes, YX or ZYX: ``(1, 1)`` counts in pixels,
        ``(0.5, 0.2, 0.2)`` in µm, so that a step along a coarse z counts for more.
    reach : float, optional
        Longest offset along one axis, in the unit of `spacing`; by default 1000 pixels of
        the finest axis.
    radius : float, optional
        Half-probability radius of an untrained network, in the unit of `spacing`; by default
        6 pixels of the finest axis.

    Raises
    ------
    ValueError
        If there are not two or three positive sizes, or a scale is not positive.

    Notes
    -----
    The raw output of a pixel at x (in the unit of `spacing`) is an offset o and a sigma s for
    each axis, and one seed logit. It means

    - embedding ``e = x + reach * tanh(o)``,
    - half-probability radius ``h = radius * exp(-5 * (s - 1))``,
    - probability to belong to an object of centre C and radius h:
      ``phi = 2 ** -sum(((e - C) / h) ** 2)``, over the axes.

    That is EmbedSeg's ``exp(-sum(exp(10 * s) * (e - C) ** 2))`` (Lalit et al. 2021) on a grid
    of length `reach`, when ``radius = reach * sqrt(log(2) * exp(-10))``, which is 5.6 for 1000.
    As the scales do not depend on the size of an image, neither do the weights.

    Examples
    --------
    >>> EmbeddingSpace((0.5, 0.2, 0.2)).radius
    1.2000000000000002
    """

    spacing: tuple[float, ...] = (1.0, 1.0)
    reach: float | None = None
    radius: float | None = None

    def __post_init__(self):
        """Check the scales and fill in the defaults."""
        spacing = tuple(float(size) for size in self.spacing)
        if len(spacing) not in (2, 3) or not all(0 < size < np.inf for size in spacing):
            raise ValueError(
                f"spacing is {self.spacing}: give two or three positive sizes in the order of "
                "the axes, (1, 1) to count in pixels"
            )
        object.__setattr__(self, "spacing", spacing)
        for name, pixels in (("reach", 1000), ("radius", 6)):
            value = getattr(self, name)
            value = pixels * min(spacing) if value is None else float(value)
            if not 0 < value < np.inf:
                raise ValueError(f"{name} is {value}: give a positive length")
            object.__setattr__(self, name, value)

    @property
    def ndim(self) -> int:
        """Number of axes, 2 or 3."""
        return len(self.spacing)

    @property
    def n_channels(self) -> int:
        """Channels of the raw output: offsets, sigmas and the seed logit."""
        return 2 * self.ndim + 1

    def positions(self, shape: Sequence[int]) -> np.ndarray:
        """Return where the pixels of an image lie: float64, shape and axes."""
        steps = [np.arange(n) * size for n, size in zip(shape, self.spacing, strict=True)]
        return np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1)

    def decode(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what the raw output of a network says about each pixel.

        Parameters
        ----------
        raw : ndarray of float, YXC or ZYXC
            Channels: offset along each axis, sigma along each axis, seed logit.

        Returns
        -------
        embeddings, radii : ndarray of float64, YX2 or ZYX3
            Where each pixel points to, and its half-probability radius along each axis, in
            the unit of `spacing`.
        seeds : ndarray of float64, spatial
            Probability that the pixel marks the centre of an object well.

        Raises
        ------
        ValueError
            If the shape does not fit or `raw` is not finite.
        """
        raw = self.check(raw)
        offsets = self.reach * np.tanh(raw[..., : self.ndim].astype(float))
        sigmas = np.clip(raw[..., self.ndim : -1].astype(float), -20, 20)
        seeds = 1 / (1 + np.exp(-np.clip(raw[..., -1].astype(float), -50, 50)))
        embeddings = self.positions(raw.shape[:-1]) + offsets
        return embeddings, self.radius * np.exp(-5 * (sigmas - 1)), seeds

    def check(self, raw: np.ndarray) -> np.ndarray:
        """Return `raw` as an array if it can be the output for this space, or raise."""
        raw = np.asarray(raw)
        if raw.ndim != self.ndim + 1 or raw.shape[-1] != self.n_channels:
            raise ValueError(
                f"raw has shape {raw.shape}: a space of {self.ndim} axes needs "
                f"{'YXC' if self.ndim == 2 else 'ZYXC'} with {self.n_channels} channels"
            )
        if not np.isfinite(raw).all():
            raise ValueError(
                "raw holds NaN or infinite values: the network has diverged (lower its learning "
                "rate), or its input was not finite"
            )
        return raw

    def to_dict(self) -> dict:
        """Return the scales as a dict for JSON; keep it beside the weights it belongs to."""
        return asdict(self)

    @classmethod
    def from_dict(cls, parameters: dict) -> EmbeddingSpace:
        """Return the space of a dict made by `to_dict`, also after JSON."""
        try:
            return cls(**parameters)
        except TypeError as error:
            raise ValueError(f"parameters are not those of an EmbeddingSpace: {error}") from None
