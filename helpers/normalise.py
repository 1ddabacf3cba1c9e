"""Grey values to the range a network works in, with constants that are kept with the model."""

from dataclasses import asdict, dataclass, replace

import numpy as np

__all__ = ["Normalizer"]

MAX_PIXELS = 10_000_000


@dataclass(frozen=True)
class Normalizer:
    """Scale grey values: `Normalizer()(image)` gives float32.

    Parameters
    ----------
    kind : {"percentile", "mean_std"}
        "percentile": ``(image - p_low) / (p_high - p_low)``, so most values lie in 0 to 1;
        "mean_std": ``(image - mean) / std``, so mean 0 and standard deviation 1.
    low, high : float
        The two percentiles, 0 to 100. The defaults leave out dead and hot pixels.
    constants : tuple of float, optional
        (p_low, p_high) or (mean, std) for all images, as `fit` sets them. By default each
        image has its own, which evens out exposure times; constants keep grey values
        comparable, as AFM heights or CT numbers need it.

    Raises
    ------
    ValueError
        If `kind`, the percentiles or the constants make no sense.

    Notes
    -----
    All channels of an image are scaled together; pixels that are not finite do not count for
    the constants. A constant image, whose scale is 0, becomes 0 everywhere.

    Examples
    --------
    >>> Normalizer(low=0, high=100)(np.array([[10, 20, 30]]))
    array([[0. , 0.5, 1. ]], dtype=float32)
    """

    kind: str = "percentile"
    low: float = 1.0
    high: float = 99.8
    constants: tuple[float, float] | None = None

    def __post_init__(self):
        """Check the parameters."""
        if self.kind not in ("percentile", "mean_std"):
            raise ValueError(f"kind is {self.kind!r}: give 'percentile' or 'mean_std'")
        if not 0 <= self.low < self.high <= 100:
            raise ValueError(f"low={self.low}, high={self.high}: need 0 <= low < high <= 100")
        if self.constants is not None:
            constants = tuple(float(value) for value in self.constants)
            if len(constants) != 2 or not np.isfinite(constants).all():
                raise ValueError(f"constants is {self.constants!r}: give two finite numbers")
            object.__setattr__(self, "constants", constants)

    def fit(self, images):
        """Return a normaliser with constants from all pixels of the training images.

        Parameters
        ----------
        images : sequence of ndarray
            Training images alone; validation and test images would leak into the training.

        Returns
        -------
        Normalizer

        Raises
        ------
        ValueError
            If there are no images, or no finite pixel in them.

        Notes
        -----
        Of more than ten million pixels, every k-th of each image is used.
        """
        n_pixels = sum(np.size(image) for image in images)
        step = max(1, -(-n_pixels // MAX_PIXELS))
        values = [np.asarray(image).reshape(-1)[::step] for image in images]
        return replace(self, constants=self._measure(np.concatenate(values or [[]])))

    def __call__(self, image):
        """Return the image as float32, scaled; its shape does not change."""
        first, second = self.constants or self._measure(image)
        scale = second - first if self.kind == "percentile" else second
        image = np.asarray(image, np.float64) - first
        return (image / scale if scale > 0 else np.zeros_like(image)).astype(np.float32)

    def _measure(self, image):
        values = np.asarray(image, np.float64)
        values = values[np.isfinite(values)]
        if not values.size:
            raise ValueError("images hold no finite pixel: leave empty or NaN images out")
        if self.kind == "percentile":
            return tuple(np.percentile(values, (self.low, self.high)).tolist())
        return float(values.mean()), float(values.std())

    def to_dict(self):
        """Return the parameters as a dict that JSON can hold; `from_dict` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, parameters):
        """Return the normaliser of a dict made by `to_dict`, also after JSON."""
        try:
            return cls(**parameters)
        except TypeError as error:
            raise ValueError(f"parameters are not those of a Normalizer: {error}") from None
