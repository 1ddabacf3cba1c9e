"""Time the scores of one large image against a plain loop over its objects.

Run with ``python benchmarks/bench_metrics.py``. Truth and prediction have 1000 objects each
in 2048 x 2048 pixels, ten IoU thresholds. The loop finds each true object's best partner
with whole-image comparisons, once for all thresholds, as a first script would; it is timed
once, the scores three times, of which the fastest counts.
"""

from operator import itemgetter
from time import perf_counter

import numpy as np

from helpers.metrics import THRESHOLDS, score_instances


def make_disks(*, size: int = 2048, n: int = 1000, seed: int = 0) -> tuple:
    """Make a label image of disks on a grid, and a prediction moved by up to four pixels."""
    rng = np.random.default_rng(seed)
    cells = int(np.ceil(np.sqrt(n)))
    pitch = size // cells
    y, x = np.mgrid[:pitch, :pitch] - pitch / 2
    true, pred = np.zeros((2, size, size), np.int32)
    for label in range(1, n + 1):
        row, column = divmod(label - 1, cells)
        cell = np.s_[row * pitch : (row + 1) * pitch, column * pitch : (column + 1) * pitch]
        radius = rng.uniform(0.25, 0.4) * pitch
        shift_y, shift_x = rng.uniform(-4, 4, 2)
        true[cell][y**2 + x**2 < radius**2] = label
        pred[cell][(y - shift_y) ** 2 + (x - shift_x) ** 2 < radius**2] = label
    return true, pred


def count_matches_by_loop(true: np.ndarray, pred: np.ndarray) -> list[int]:
    """Count the matches at each threshold, one true object after the other."""
    best = []
    for label in np.unique(true)[1:]:
        mask = true == label
        partners = [p for p in np.unique(pred[mask]) if p > 0]
        ious = [
            np.count_nonzero(mask & (pred == p)) / np.count_nonzero(mask | (pred == p))
            for p in partners
        ]
        best.append(max(ious, default=0))
    return [sum(iou >= threshold for iou in best) for threshold in THRESHOLDS]


def time_call(function, *arguments) -> tuple:
    """Return the seconds a call took, and its result."""
    start = perf_counter()
    result = function(*arguments)
    return perf_counter() - start, result


def main() -> None:
    """Print both times and their ratio, after checking that the counts agree."""
    true, pred = make_disks()
    fast, scores = min(
        (time_call(score_instances, true, pred) for _ in range(3)), key=itemgetter(0)
    )
    slow, counts = time_call(count_matches_by_loop, true, pred)
    if scores.tp.tolist() != counts:
        raise SystemExit(f"counts differ: {scores.tp.tolist()} and {counts}")
    print(f"metrics: {fast:.3f} s, loop: {slow:.1f} s, ratio {slow / fast:.0f}")


if __name__ == "__main__":
    main()
