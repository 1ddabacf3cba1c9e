"""Time and memory of FPN2-WS on a field of 2158 x 2558 pixels with 16 bits, the paper's largest.

Run with ``python benchmarks/bench_fpn_field.py``. A light network with random weights predicts
the maps tile by tile; the watershed then runs on the perfect maps of 4,500 drawn nuclei, for
random maps hold none. Memory is the largest resident size of the process, beside what Python
and TensorFlow take before the first tile.
"""

import resource
import sys
from time import perf_counter

import numpy as np

from helpers.fpn import FpnNetworks, build_networks, fpn_targets
from helpers.fpn.field import predict_field
from helpers.fpn.watershed import seeded_watershed

SHAPE = (2158, 2558)


def make_labels(*, shape: tuple = SHAPE, pitch: int = 35) -> np.ndarray:
    """Draw disks on a grid."""
    y, x = np.mgrid[:pitch, :pitch] - (pitch - 1) / 2
    disk = y**2 + x**2 < (0.47 * pitch) ** 2
    labels = np.zeros(shape, np.int32)
    for number, corner in enumerate(np.ndindex(*(side // pitch for side in shape)), start=1):
        labels[tuple(slice(pitch * k, pitch * (k + 1)) for k in corner)][disk] = number
    return labels


def peak_megabytes() -> float:
    """Return the largest resident size of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    """Print seconds and megabytes of both steps."""
    labels = make_labels()
    maps = fpn_targets(labels)
    field = (400 + 9000 * maps[..., 0]).astype(np.uint16)
    networks = FpnNetworks(build_networks("mobilenet", two_networks=False, filters=64))
    networks(np.zeros((1, 512, 512, 1), np.float32))
    before, start = peak_megabytes(), perf_counter()
    predict_field(networks, field, normalize=networks.normalize, batch_size=1)
    seconds, more = perf_counter() - start, peak_megabytes() - before
    print(f"fpn maps, {SHAPE[0]} x {SHAPE[1]}, 16 bits: {seconds:.0f} s, {more:.0f} MB more")
    before, start = peak_megabytes(), perf_counter()
    found = seeded_watershed(maps[..., 0], maps[..., 1])
    seconds, more = perf_counter() - start, peak_megabytes() - before
    counts = f"{found.max()} of {labels.max()} nuclei"
    print(f"seeded watershed, {counts}: {seconds:.1f} s, {more:.0f} MB more")
    print(f"largest size of the whole process: {peak_megabytes():.0f} MB")


if __name__ == "__main__":
    main()
