"""AFM height maps made comparable: the glass flat and at 0, scan lines level, spikes taken out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

__all__ = [
    "Flattened",
    "check_map",
    "flatten_map",
    "glass_noise",
    "level_lines",
    "remove_spikes",
    "scale_heights",
]

# of a normal distribution: standard deviation / median absolute deviation
PER_MAD = 1.4826
MAX_FIT_PIXELS = 65_536


class Flattened(NamedTuple):
    """A flattened map.

    Attributes
    ----------
    height : ndarray of float32, YX
        Height above the glass, in the unit of the map.
    surface : ndarray of float32, YX
        What was subtracted.
    glass : ndarray of bool, YX
        Pixels that were taken for glass.
    """

    height: np.ndarray
    surface: np.ndarray
    glass: np.ndarray


def flatten_map(
    image: np.ndarray,
    *,
    degree: int = 2,
    lines: bool = True,
    cut: float = 3.0,
    n_rounds: int = 12,
) -> Flattened:
    """Return a height map without the tilt and bow of the scanner.

    Parameters
    ----------
    image : ndarray, YX
        Heights in any unit; finite.
    degree : {0, 1, 2, 3}
        Of the polynomial in x and y: 1 takes a tilted plane out, 2 also the bow of the scanner.
    lines : bool
        Whether to level the scan lines too (`level_lines`).
    cut : float
        Pixels that rise above the surface by more than so many standard deviations of the glass
        are objects and do not count. Pits count as objects beyond twice that.
    n_rounds : int
        Rounds of fitting and leaving out.

    Returns
    -------
    Flattened
        Height, surface and glass.

    Raises
    ------
    ValueError
        If the image is not two-dimensional and finite, or `degree` is not known.

    Notes
    -----
    An ordinary fit follows the cells and leaves troughs beside them. Here the first rounds
    are an asymmetric least-squares fit (Newey and Powell 1987), in which what lies above counts
    a tenth, so the surface starts below the cells. The standard deviation of the glass is
    measured on what lies below the surface, where no cell is. Of 60 maps of cells that cover 4 to
    52 % of the field, 1 to 3 % of the pixels outside of the cells were not taken for glass; a
    flat-topped object over a third of a small map can still pass for glass.

    Examples
    --------
    >>> y, x = np.mgrid[:64, :64] / 64
    >>> bowl = 30 * (x - 0.4) ** 2 + 20 * y
    >>> float(np.abs(flatten_map(bowl).height).max()) < 0.01
    True
    """
    image = check_map(image)
    if degree not in (0, 1, 2, 3):
        raise ValueError(f"degree is {degree!r}: give 0, 1 (plane), 2 (bow) or 3")
    terms = _polynomial_terms(image.shape, degree)
    step = max(1, round((image.size / MAX_FIT_PIXELS) ** 0.5))
    sparse = np.zeros(image.shape, bool)
    sparse[step // 2 :: step, step // 2 :: step] = True
    offsets = np.zeros((image.shape[0], 1))
    for _ in range(1 + lines):
        surface, glass = _fit_glass(image - offsets, terms, sparse, cut, n_rounds)
        if lines:
            offsets = offsets + _line_offsets(image - offsets - surface, glass)
    surface = surface + offsets
    height = image - surface
    level = np.median(height[glass]) if glass.any() else 0.0
    surface, height = surface + level, height - level
    return Flattened(height.astype(np.float32), surface.astype(np.float32), glass)


def _fit_glass(image, terms, sparse, cut, n_rounds):
    """Return the polynomial through the glass, and which pixels are glass."""
    basis, values = terms[sparse], image[sparse]
    weights = np.ones(values.size)
    for i in range(n_rounds):
        root = np.sqrt(weights)
        factors = np.linalg.lstsq(basis * root[:, None], values * root, rcond=None)[0]
        rest = values - basis @ factors
        noise = _noise_below(rest)
        if i < n_rounds // 2:
            weights = np.where(rest > 0, 0.1, 1.0)
        else:
            weights = ((rest < cut * noise) & (rest > -2 * cut * noise)).astype(float)
    surface = terms @ factors
    rest = image - surface
    return surface, (rest <= cut * noise) & (rest >= -2 * cut * noise)


def _noise_below(rest):
    """Return the standard deviation of the glass, from the values below the surface."""
    below = rest[rest < 0]
    return PER_MAD * np.median(-below) if below.size else 0.0


def _polynomial_terms(shape, degree):
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    return np.stack([y**i * x**j for i, j in powers], axis=-1)


def level_lines(height: np.ndarray, glass: np.ndarray, *, min_share: float = 0.1) -> np.ndarray:
    """Return a map whose scan lines have their glass at one height.

    Parameters
    ----------
    height : ndarray, YX
        Flattened map; scan lines are rows. For a map scanned in columns give its transpose.
    glass : ndarray of bool, YX
        Pixels of the glass.
    min_share : float
        Rows with a smaller share of glass take the offset of the rows around them.

    Returns
    -------
    ndarray of float32, YX
        Each row less the median of its glass.

    Raises
    ------
    ValueError
        If shapes differ.

    Notes
    -----
    Offsets come from the glass alone: the mean or median of a whole row, as many programs
    take it, digs trenches beside tall cells.
    """
    height = check_map(height)
    if np.shape(glass) != height.shape:
        raise ValueError(f"glass has shape {np.shape(glass)}, height {height.shape}: give one each")
    return (height - _line_offsets(height, glass, min_share)).astype(np.float32)


def _line_offsets(rest, glass, min_share=0.1):
    rows = np.arange(len(rest))
    enough = glass.mean(axis=1) >= min_share
    if not enough.any():
        return np.zeros((len(rest), 1))
    values = np.nanmedian(np.where(glass, rest, np.nan)[enough], axis=1)
    return np.interp(rows, rows[enough], values)[:, None]


def remove_spikes(height: np.ndarray, *, size: int = 5, factor: float = 1.0) -> np.ndarray:
    """Return a map in which lone spikes have the height of their neighbourhood.

    Parameters
    ----------
    height : ndarray, YX
        Flattened map.
    size : int
        Side of the neighbourhood in pixels; a spike fills less than half of it.
    factor : float
        A spike towers over the median around it by more than `factor` times the height
        that 99.5 % of the map stay below. Processes of one pixel are never as high.

    Returns
    -------
    ndarray of float32, YX
    """
    height = check_map(height)
    around = ndimage.median_filter(height, size, mode="reflect")
    tall = factor * (np.percentile(height, 99.5) - np.median(height))
    spike = (height - around > tall) & (tall > 0)
    return np.where(spike, around, height).astype(np.float32)


def glass_noise(height: np.ndarray) -> float:
    """Return the standard deviation of the glass of a flattened map, in its unit.

    Measured on what lies below 0, where no cell is: 1.48 times the median distance from 0.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(0, 2, (100, 100))
    >>> round(glass_noise(values), 1)
    2.0
    """
    return float(_noise_below(check_map(height)))


def scale_heights(height: np.ndarray, scale: float) -> np.ndarray:
    """Return heights in the range a network works in, ``asinh(height / scale)``.

    Parameters
    ----------
    height : ndarray, any shape
        Flattened heights.
    scale : float
        In the unit of the map, above 0: below it the result is linear, above it a logarithm, so
        that thin processes and tall nuclei both fit. Two to three times `glass_noise`; one value
        for all maps of a data set, kept with the model.

    Returns
    -------
    ndarray of float32

    Raises
    ------
    ValueError
        If `scale` is not positive.
    """
    if not scale > 0:
        raise ValueError(f"scale is {scale}: give a height above 0, such as 2 * glass_noise(map)")
    return np.arcsinh(np.asarray(height, np.float32) / np.float32(scale))


def check_map(image):
    """Return a map as float64, or raise an error if it is none."""
    image = np.asarray(image, np.float64)
    if image.ndim != 2 or not np.isfinite(image).all():
        raise ValueError(
            f"image has shape {image.shape}: give one map, YX, without NaN (np.nan_to_num fills "
            "missing lines)"
        )
    return image
