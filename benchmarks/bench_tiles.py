"""Time tiled prediction against the bare network, and measure its memory on large volumes.

Run with ``python benchmarks/bench_tiles.py``: the published 2D and 3D U-Net, without trained
weights, on one image each; the bare network's speed is measured inside of the same calls.
Memory is the peak of a process of its own with a trivial network on memory-mapped volumes of
0.13 and 0.5 GB; with ``--full`` of 20 GB too, which writes 20 GB and takes several minutes.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from helpers.tiles import fit_tile_shape, plan_windows, predict_tiled, turns

# name: image, window, overlap, batch size
CASES = {
    "2D": ((768, 1024), (256, 256), 32, 2),
    "3D": ((32, 104, 104), (16, 64, 64), (0, 16, 16), 1),
}
VOLUMES_GB = {"0.13": (128, 1000, 1000), "0.5": (512, 1000, 1000), "20": (1250, 4000, 4000)}


class Clock:
    """A network that adds up its pixels and the seconds spent in it."""

    def __init__(self, model):
        self.model, self.seconds, self.n_pixels = model, 0.0, 0

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the prediction of a batch."""
        start = perf_counter()
        prediction = self.model.predict_on_batch(batch)
        self.seconds += perf_counter() - start
        self.n_pixels += batch.size
        return prediction


def time_network(name: str) -> None:
    """Print the throughput of one case: blended, and with a quarter of the turns."""
    from helpers.unets import build_unet

    shape, largest, overlap, batch_size = CASES[name]
    tile_shape = fit_tile_shape(shape, largest, overlap, divisor=16, square=True)
    model = build_unet("unet", ndim=len(shape), prior=0.06)
    model.predict_on_batch(np.zeros((batch_size, *tile_shape, 1), np.float32))  # compiles
    windows = plan_windows(shape, tile_shape, overlap)
    print(
        f"{name} U-Net, {model.count_params():,} parameters, image {shape}, {len(windows)} windows "
        f"of {tile_shape}"
    )
    image = np.random.default_rng(0).random(shape, np.float32)
    every = turns(len(shape))
    for n_turns in (1, len(every) // 4):
        clock, start = Clock(model), perf_counter()
        predict_tiled(
            clock, image, tile_shape=tile_shape, overlap=overlap, batch_size=batch_size,
            tta=every[:n_turns],
        )  # fmt: skip
        print_speed(perf_counter() - start, clock, image.size, (n_turns, len(every)))


def print_speed(seconds: float, clock: Clock, n_pixels: int, n_turns: tuple[int, int]) -> None:
    """Print the speed of one prediction beside that of the network in the same seconds."""
    used, every = n_turns
    all_turns = every if used > 1 else 1  # a part of the turns is timed, for all of them
    bare, speed = clock.n_pixels / clock.seconds / 1e6, n_pixels * used / all_turns / seconds / 1e6
    name = f"{every}-fold turned, from {used}" if used > 1 else "blended"
    print(
        f"  {name}: {speed:.4f} Mvoxel/s, {speed / bare:.3f} of the bare network's {bare:.3f}; "
        f"windows hold {clock.n_pixels / n_pixels / used:.2f} times the image, "
        f"all else takes {seconds / clock.seconds - 1:.1%} of the network's time",
        flush=True,
    )


def predict_volume(folder: str, shape: tuple[int, ...]) -> None:
    """Predict a memory-mapped volume with a trivial network; print seconds and peak memory."""
    image = np.memmap(Path(folder) / "image", np.uint8, "w+", shape=shape)  # sparse: no disk
    image[shape[0] // 2, ::2] = 200
    out = np.memmap(Path(folder) / "out", bool, "w+", shape=shape)
    before = peak_bytes()
    start = perf_counter()
    predict_tiled(
        lambda batch: batch, image, tile_shape=(64, 256, 256), overlap=(8, 32, 32), out=out,
        finish=lambda p: p[..., 0] > 100,
    )  # fmt: skip
    seconds = perf_counter() - start
    if not (out[shape[0] // 2] == (image[shape[0] // 2] > 100)).all():
        raise SystemExit("the mask differs from the image")
    n_bytes = np.prod(shape, dtype=float)
    print(
        f"  {n_bytes / 1e9:.2f} GB volume: peak {peak_bytes() / 1e9:.2f} GB ({before / 1e9:.2f} "
        f"before), {seconds:.0f} s, {n_bytes / seconds / 1e6:.0f} Mvoxel/s",
        flush=True,
    )


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # unlike getrusage it forgets the parent process
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="a volume of 20 GB too")
    parser.add_argument("--folder", help="for the volumes; by default a temporary one")
    parser.add_argument("--volume", choices=VOLUMES_GB, help="only predict this one, here")
    options = parser.parse_args()
    if options.volume:
        predict_volume(options.folder, VOLUMES_GB[options.volume])
        return
    print("memory with a trivial network:", flush=True)
    for name in VOLUMES_GB if options.full else list(VOLUMES_GB)[:2]:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            subprocess.run(
                [sys.executable, __file__, "--volume", name, "--folder", folder], check=True
            )
    for name in CASES:
        time_network(name)


if __name__ == "__main__":
    main()
