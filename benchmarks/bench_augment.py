"""Time the augmentation: patches of 256 x 256 pixels per second on one core.

Run with ``python benchmarks/bench_augment.py``. Both recipes make patches of a field of 1078 x
1278 pixels with 16 bits and some 300 nuclei; imgaug and OpenCV are kept to one thread. The
faster of two rounds counts, after a short one that loads the packages.
"""

import warnings
from time import perf_counter

import numpy as np

from helpers.augment.pipelines import DEFAULT, PUBLISHED, augment_many


def make_field(*, shape: tuple = (1078, 1278), pitch: int = 64, seed: int = 0) -> tuple:
    """Make a 16-bit image of disks on a grid, and its labels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:pitch, :pitch] - pitch / 2
    labels = np.zeros(shape, np.int32)
    corners = [(r, c) for r in range(0, shape[0], pitch) for c in range(0, shape[1], pitch)]
    for number, (row, column) in enumerate(corners, start=1):
        disk = y**2 + x**2 < rng.uniform(0.25, 0.5) * (pitch / 2) ** 2 * 2
        cell = labels[row : row + pitch, column : column + pitch]
        cell[disk[: cell.shape[0], : cell.shape[1]]] = number
    image = np.where(labels > 0, 9000, 400) + rng.normal(0, 100, shape)
    return image.clip(0, 65_535).astype(np.uint16), labels


def patches_per_second(image, labels, recipe, n: int = 60) -> float:
    """Return the rate of the faster of two rounds."""
    augment_many([image], [labels], 3, recipe=recipe)
    seconds = []
    for seed in range(2):
        start = perf_counter()
        augment_many([image], [labels], n, seed, recipe=recipe)
        seconds.append(perf_counter() - start)
    return n / min(seconds)


def main() -> None:
    """Print the rates of both recipes."""
    import cv2

    cv2.setNumThreads(1)
    warnings.simplefilter("ignore")
    image, labels = make_field()
    for name, recipe in (("default", DEFAULT), ("published", PUBLISHED)):
        rate = patches_per_second(image, labels, recipe)
        print(f"augment, {name} recipe: {rate:.0f} patches of 256 x 256 per second and core")


if __name__ == "__main__":
    main()
