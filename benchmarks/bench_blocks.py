"""Time block-wise prediction on two processes against one process that predicts in one piece.

Run with ``python benchmarks/bench_blocks.py``. A small U-Net with random weights predicts an
image on disk; each process computes on one core. Starting the processes and loading the model
are timed apart, for they do not grow with the image. Both results are compared.
"""

import logging
import os
import tempfile
from pathlib import Path
from time import perf_counter

# one core for each process; read when TensorFlow and the workers start
os.environ["OMP_NUM_THREADS"] = os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
os.environ["TF_NUM_INTEROP_THREADS"] = "1"
os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")

import numpy as np
import zarr
from distributed import LocalCluster

from helpers.saving import example_input, save_model
from helpers.tiles import predict_tiled
from helpers.tiles.blocks import count_windows, load_network, open_array, predict_blocks
from helpers.unets import build_unet

SHAPE, BLOCK, TILE, OVERLAP = (4096, 4096), (1024, 1024), (256, 256), 32


def prepare(folder: Path) -> tuple[str, str]:
    """Write an image and a model; return their paths."""
    image = np.random.default_rng(0).random(SHAPE, np.float32)
    zarr.create_array(folder / "image.zarr", data=image, chunks=(512, 512))
    model = build_unet("unet", ndim=2, filters=(8, 16, 32))
    save_model(model, folder / "model", example_input(model))
    return str(folder / "image.zarr"), str(folder / "model")


def time_single(image: str, model: str) -> tuple[float, np.ndarray]:
    """Return seconds and result of one process, without loading and compiling."""
    network, _ = load_network(model)
    options = {"tile_shape": TILE, "overlap": OVERLAP}
    predict_tiled(network, np.zeros(TILE, np.float32), **options)
    start = perf_counter()
    whole = predict_tiled(network, open_array(image), **options)
    return perf_counter() - start, whole


def time_blocks(image: str, model: str, to: str, n_workers: int) -> tuple[float, float]:
    """Return the seconds of the cluster's start with the model, and of the prediction."""
    options = {"tile_shape": TILE, "overlap": OVERLAP, "block_shape": BLOCK}
    start = perf_counter()
    settings = {"n_workers": n_workers, "threads_per_worker": 1, "dashboard_address": None}
    settings["silence_logs"] = logging.ERROR  # TensorFlow is slow to leave
    with LocalCluster(**settings) as cluster, cluster.get_client() as client:
        client.run(load_and_compile, model)
        lazy = predict_blocks(model, image, **options)
        ready = perf_counter()
        lazy.to_zarr(to)
        return ready - start, perf_counter() - ready


def load_and_compile(model: str) -> None:
    """Load the network in a worker and predict one window."""
    load_network(model)[0].predict_on_batch(np.zeros((1, *TILE, 1), np.float32))


def main() -> None:
    """Print times and ratios."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        image, model = prepare(folder)
        single, whole = time_single(image, model)
        blocks, once = count_windows(SHAPE, BLOCK, TILE, OVERLAP)
        print(f"{SHAPE[0]} x {SHAPE[1]}, {once} windows; in blocks of {BLOCK[0]}: {blocks}")
        print(f"one process, in one piece: {single:.1f} s")
        for n_workers in (1, 2):
            to = str(folder / f"out{n_workers}.zarr")
            start, seconds = time_blocks(image, model, to, n_workers)
            apart = np.abs(zarr.open_array(to, mode="r")[:] - whole).max()
            if apart > 1e-5:
                raise SystemExit(f"the results differ by {apart}")
            print(
                f"blocks on {n_workers} process(es): {seconds:.1f} s, {single / seconds:.2f} times "
                f"as fast; start {start:.1f} s; largest difference {apart:.1g}"
            )


if __name__ == "__main__":
    main()
