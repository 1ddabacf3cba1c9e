"""Simulated nuclei under noise so strong that the eye can hardly tell them, with clean images."""

from functools import partial

import numpy as np

from .nuclei_sim import FACTS as CLEAN_FACTS, draw_splits, simulate_nuclei

__all__ = ["less_noisy_nuclei", "noisy_nuclei"]

N_IMAGES = {"train": 24, "val": 4, "test": 8}
SHAPE = (256, 256)
SIGMA = 100.0  # grey levels
PHOTONS = (40.0, 400.0)  # per pixel of an ordinary nucleus: dimmest and brightest image
FACTS = CLEAN_FACTS | {
    "title": "Simulated fluorescent nuclei under strong noise, with the clean images",
    "source": "simulated by data_download.samples.nuclei_noisy",
    "noise_sigma": SIGMA,
}
FACTS_OF = {
    "nuclei_noisy_half": FACTS
    | {
        "title": "Simulated fluorescent nuclei under half the noise, with the clean images",
        "noise_sigma": SIGMA / 2,
    }
}


def noisy_nuclei(*, seed=42):
    """Make the sample `nuclei_noisy`: 24 training, 4 validation and 8 test images of 256x256.

    Parameters
    ----------
    seed : int
        Each image has its own random stream, drawn from this seed.

    Returns
    -------
    dict of str to list of (image, labels, clean)
        Images float32 YX with Gaussian noise, neither clipped nor rounded; labels int32; clean
        images float32.

    Notes
    -----
    Stands in for the noisy sets of VoidSeg. As in their DSB2018 set (sigma 40 on nuclei of some 30
    to 250 grey levels), images differ in brightness by a factor of ten: in the dimmest, an
    ordinary nucleus rises above the background by about 1.2 of the noise's standard deviation.
    """
    return draw_splits(_draw_image, N_IMAGES, seed)


def less_noisy_nuclei(*, seed=42):
    """Make the sample `nuclei_noisy_half`: the images of `noisy_nuclei` with half of their noise.

    Parameters
    ----------
    seed : int
        With equal seeds, nuclei, light and even the pattern of the noise are those of
        `noisy_nuclei`, so that scores differ by the strength of the noise alone.

    Returns
    -------
    dict of str to list of (image, labels, clean)
        As `noisy_nuclei`.
    """
    return draw_splits(partial(_draw_image, sigma=SIGMA / 2), N_IMAGES, seed)


def _draw_image(rng, sigma=SIGMA):
    from helpers.denoise.noise import add_gaussian_noise

    _, clean, labels = simulate_nuclei(
        SHAPE,
        rng.integers(25, 51),
        overlap=rng.uniform(0.1, 0.4),
        photons=np.exp(rng.uniform(*np.log(PHOTONS))),
        radius=rng.uniform(9, 12),
        blur=rng.uniform(1.1, 2.0),
        rng=rng,
    )
    return add_gaussian_noise(clean, sigma=sigma, rng=rng), labels, clean
