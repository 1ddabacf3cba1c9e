"""Time the clustering of one large image against a plain scan, and the medoid against all pairs.

Then predict an image of the same size with both networks, and read the memory of the process.

Run with ``python benchmarks/bench_embedseg.py``. The output of a network is imitated: 1024
objects in 1024 x 1024 pixels, with errors of one pixel in the offsets. The scan looks at all
foreground pixels for every object, as the method is published; it is timed once, ours three
times, of which the fastest counts. Compiling (some seconds, once per machine) does not count.
"""

import resource
from operator import itemgetter
from time import perf_counter

import numpy as np
from scipy.spatial.distance import cdist

from helpers.embedseg import (
    EmbeddingSpace,
    build_branched_erfnet,
    build_embedding_unet,
    cluster_embeddings,
    find_centers,
    predict_raw,
)

SPACE = EmbeddingSpace((1, 1), reach=100, radius=6)


def make_output(*, size: int = 1024, n: int = 1024, seed: int = 0) -> np.ndarray:
    """Make raw output for disks on a grid, which cover a little more than half of the image."""
    rng = np.random.default_rng(seed)
    pitch = size // int(np.ceil(np.sqrt(n)))
    place = SPACE.positions((size, size))
    middle = (place // pitch + 0.5) * pitch
    away = np.hypot(*np.moveaxis(middle - place, -1, 0))
    raw = np.ones((size, size, 5), np.float32)
    offset = middle - place + rng.normal(0, 1, place.shape)
    raw[..., :2] = np.arctanh(offset / SPACE.reach)
    raw[..., 4] = np.where(away < 0.42 * pitch, 4 - away / 10 + rng.normal(0, 0.2, away.shape), -4)
    return raw


def cluster_by_scan(raw: np.ndarray, *, seed: float = 0.9) -> np.ndarray:
    """Cluster with one look at all foreground pixels for each object."""
    embeddings, radii, _ = SPACE.decode(raw)
    member = raw[..., -1] > 0
    points, radii, logit = embeddings[member], radii[member], raw[..., -1][member]
    free, found, label = np.ones(len(points), bool), np.zeros(len(points), np.int32), 0
    while free.any():
        k = np.where(free, logit, -np.inf).argmax()
        if logit[k] < np.log(seed / (1 - seed)):
            break
        free[k] = False
        proposal = (((points - points[k]) / radii[k]) ** 2).sum(axis=1) < 1
        if 2 * (proposal & free).sum() > proposal.sum() > 0:
            label += 1
            found[proposal] = label
        free[proposal] = False
    labels = np.zeros(member.shape, np.int32)
    labels[member] = found
    return labels


def find_medoid_by_pairs(mask: np.ndarray) -> tuple:
    """Find the medoid from the distances of all pairs of pixels, some rows at a time."""
    points = np.argwhere(mask)
    sums = [cdist(part, points).sum(axis=1) for part in np.array_split(points, 50)]
    return tuple(int(n) for n in points[np.concatenate(sums).argmin()])


def time_call(function, *arguments) -> tuple:
    """Return the seconds a call took, and its result."""
    start = perf_counter()
    result = function(*arguments)
    return perf_counter() - start, result


def report(name: str, ours, plain, *arguments) -> None:
    """Print both times and their ratio, after checking that the results agree."""
    ours(*arguments)
    fast, found = min((time_call(ours, *arguments) for _ in range(3)), key=itemgetter(0))
    slow, expected = time_call(plain, *arguments)
    if not np.array_equal(found, expected):
        raise SystemExit(f"{name}: the results differ")
    print(f"{name}: {fast:.3f} s, plain {slow:.2f} s, ratio {slow / fast:.0f}")


def report_prediction(name: str, model, *, size: int = 1024) -> None:
    """Print the time of one image without test-time augmentation, and the peak memory so far."""
    image = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    predict_raw(model, image)
    seconds, _ = time_call(predict_raw, model, image)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    print(f"{name}: {size} x {size} pixels in {seconds:.1f} s, peak memory {peak_mb:.0f} MB")


def main() -> None:
    """Time all and print."""
    report("clustering", lambda raw: cluster_embeddings(raw, SPACE), cluster_by_scan, make_output())
    y, x = np.mgrid[:200, :200] - 95
    blob = (y**2 + (1.2 * x + y**2 / 120) ** 2 < 90**2).astype(np.int32)
    report("medoid", lambda mask: find_centers(mask)[1], find_medoid_by_pairs, blob)
    report_prediction("small U-Net", build_embedding_unet())
    report_prediction("branched ERFNet", build_branched_erfnet())


if __name__ == "__main__":
    main()
