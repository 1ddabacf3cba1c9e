"""Smooth random fields and draws that all simulated samples share."""

import numpy as np

__all__ = ["degrade", "smooth_noise", "unit_vectors"]


def smooth_noise(shape, sigma, rng):
    """Return a smooth random field with mean 0 and standard deviation 1.

    Parameters
    ----------
    shape : tuple of int
        Any number of axes.
    sigma : float or tuple of float
        Width of the Gaussian kernel in pixels, one for all axes or one per axis.
    rng : numpy.random.Generator
        Source of the white noise.

    Returns
    -------
    ndarray of float32
        White noise on a coarse lattice, spread by a Gaussian: as ``gaussian_filter`` of white
        noise, but its time does not grow with `sigma`.

    Notes
    -----
    Nodes lie one `sigma` apart (at least one pixel), where a row of Gaussians adds up to a
    constant within 1e-8. The variance is set to that of an infinite field, so one small field
    may stray from mean 0 and deviation 1, as a small window of a large one does.
    """
    sigma = np.broadcast_to(np.asarray(sigma, float), len(shape))
    field = rng.standard_normal([len(_nodes(n, s)) for n, s in zip(shape, sigma, strict=True)])
    for axis, (n, s) in enumerate(zip(shape, sigma, strict=True)):
        weights = np.exp(-0.5 * ((np.arange(n)[:, None] - _nodes(n, s)) / max(s, 1e-3)) ** 2)
        weights /= np.sqrt(np.mean(np.sum(weights**2, axis=1)))
        field = np.moveaxis(np.tensordot(weights, field, (1, axis)), 0, axis)
    return field.astype(np.float32)


def _nodes(n, sigma):
    margin = 4 * sigma
    return np.arange(-margin, n + margin, max(sigma, 1.0))


def unit_vectors(n, ndim, rng):
    """Return `n` random directions as the rows of an array (n, ndim)."""
    vectors = rng.standard_normal((n, ndim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def degrade(photons, rng, *, read_noise, offset, gain=1.0):
    """Return the camera image of expected photon counts, as uint16.

    Parameters
    ----------
    photons : ndarray of float
        Expected number of photons per pixel.
    rng : numpy.random.Generator
        Source of the noise.
    read_noise : float
        Standard deviation of the Gaussian noise of the camera, in grey levels.
    offset : float
        Grey level of a pixel without light.
    gain : float
        Grey levels per photon.

    Returns
    -------
    ndarray of uint16
        ``gain * Poisson(photons) + offset + Normal(0, read_noise)``, rounded and clipped.
    """
    counts = gain * rng.poisson(photons) + offset + rng.normal(0, read_noise, photons.shape)
    return np.clip(np.round(counts), 0, 65_535).astype(np.uint16)
