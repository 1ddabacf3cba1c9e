"""Time Noise2Void: our batches and training against the n2v package's own.

Run with ``python benchmarks/bench_n2v.py``. Both train the same network with the same batch size
and patches on the same noisy images, in one process. Batches are also timed alone, for on a GPU
they, not the network, would be what a training waits for. Of three repetitions the fastest counts.
"""

import contextlib
import io
import os
import tempfile
import warnings
from itertools import islice
from time import perf_counter

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from helpers import denoise
from helpers.denoise import blindspot, noise2void

BATCH, PATCH, STEPS = 16, 64, 30


def fastest(function, repeats: int = 3) -> float:
    """Return the seconds of the fastest of some calls."""
    times = []
    for _ in range(repeats):
        start = perf_counter()
        function()
        times.append(perf_counter() - start)
    return min(times)


def stock_batches(images: np.ndarray):
    """Return the package's own source of batches."""
    from n2v.internals.N2V_DataWrapper import N2V_DataWrapper
    from n2v.utils.n2v_utils import pm_uniform_withoutCP

    x = images[..., None]
    return N2V_DataWrapper(
        x, np.concatenate([x, np.zeros_like(x)], -1), BATCH, length=10_000, perc_pix=1.5,
        shape=(PATCH, PATCH), value_manipulation=pm_uniform_withoutCP(5),
    )  # fmt: skip


def time_batches(images: np.ndarray) -> None:
    """Print patches per second of both pipelines alone."""
    ours = blindspot.blind_spot_batches(list(images), (PATCH, PATCH), batch_size=BATCH)(0)
    with contextlib.redirect_stdout(io.StringIO()):
        stock = stock_batches(images)
    n = 20
    fast = fastest(lambda: list(islice(ours, n)))
    slow = fastest(lambda: [stock[i] for i in range(n)])
    rates = [n * BATCH / seconds for seconds in (fast, slow)]
    print(
        f"batches alone: {rates[0]:,.0f} patches/s, package {rates[1]:,.0f}, "
        f"ratio {rates[0] / rates[1]:.0f}"
    )


def time_training(images: np.ndarray) -> None:
    """Print steps per second of both trainings, each after a first epoch to warm up."""
    rates = []
    for stock in (False, True):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = denoise.make_denoiser(list(images), folder, depth=3, filters=16)
            noise2void._compile(model, 4e-4)
            if stock:
                batches = iter(stock_batches((images - images.mean()) / images.std()))
            else:
                batches = blindspot.blind_spot_batches(
                    list((images - images.mean()) / images.std()), (PATCH, PATCH), batch_size=BATCH
                )(0)
            fit = model.keras_model.fit
            fit(batches, epochs=1, steps_per_epoch=5, verbose=0)
            seconds = fastest(lambda: fit(batches, epochs=1, steps_per_epoch=STEPS, verbose=0))  # noqa: B023
            rates.append(STEPS / seconds)
    print(
        f"training: {rates[0]:.1f} steps/s, package's batches {rates[1]:.1f}, "
        f"ratio {rates[0] / rates[1]:.2f}"
    )


def main() -> None:
    """Print both comparisons."""
    images = np.random.default_rng(0).normal(100, 20, (64, 128, 128)).astype(np.float32)
    time_batches(images)
    with contextlib.redirect_stderr(io.StringIO()):
        time_training(images)


if __name__ == "__main__":
    main()
