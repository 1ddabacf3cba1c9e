"""Noise2Void around the n2v package, and whether it helped.

    noise2void  model, training, files
    blindspot   its batches: pixels hidden from the network
    data        noisy folders, and the denoised copy of a data folder
    noise       noise added on purpose, or estimated
    filters     the rivals: tuned median, Gaussian, non-local means
    checks      was it noise that was taken away?

What `__all__` lists can be imported from here.
"""

from helpers.denoise.noise2void import (
    denoise,
    fit_patch,
    get_denoiser,
    load_denoiser,
    make_denoiser,
    train_denoiser,
)

__all__ = [
    "denoise",
    "fit_patch",
    "get_denoiser",
    "load_denoiser",
    "make_denoiser",
    "train_denoiser",
]
