"""Simulated AFM height maps: cells with thin processes on glass, as the scanner shows them."""

import numpy as np
from scipy import ndimage
from skimage.draw import line, polygon

__all__ = ["afm_maps", "simulate_map"]

COUNTS = {"train": 16, "val": 4, "test": 6}
SIZE_PX = 256
BOW_LEVELS = (33, 46)  # rise of the glass from its lowest to its highest point
KINDS = ("spread", "spindle", "branched")
FACTS = {
    "title": "Simulated AFM height maps of astrocytes",
    "modality": "atomic force microscopy, height (simulated)",
    "axes": "YX",
    "licence": "CC0-1.0",
    "source": "simulated by data_download.samples.afm_sim",
    "task": "semantic",
}


def afm_maps(*, seed=42):
    """Simulate height maps of cells.

    Parameters
    ----------
    seed : int
        The same seed gives the same maps; every map has its own stream of it.

    Returns
    -------
    dict of str to list of (image, mask)
        16 pairs for `train`, 4 for `val` and 6 for `test`; images uint8 YX, masks uint8 YX
        with 1 for cell.

    Notes
    -----
    Imitates the contact-mode height maps of astrocytes by Tiryaki et al. 2022, exported from
    minimum to maximum of each map, so that a few spikes set the scale: glass like a bowl whose
    rise is larger than the height of most of a cell, scan-line steps, processes of one or two
    pixels, debris that is no cell. `docs/samples.md` has the figures.
    """
    return {
        split: [simulate_map(np.random.default_rng([seed, n, m])) for m in range(count)]
        for n, (split, count) in enumerate(COUNTS.items())
    }


def simulate_map(rng, *, size=SIZE_PX):
    """Simulate one height map.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    size : int
        Height and width in pixels.

    Returns
    -------
    image, mask : ndarray of uint8, YX
        Heights from the lowest (0) to the highest point (255), and 1 for cell.
    """
    cells = np.zeros((size, size))
    for _ in range(rng.choice([1, 2, 3], p=[0.35, 0.4, 0.25])):
        cells = np.maximum(cells, draw_cell(rng, size, rng.choice(KINDS)))
    mask = cells > 0
    sharp = ndimage.gaussian_filter(cells, 0.5)
    height = sharp + bow(rng, size) + debris(rng, mask) + scan_lines(rng, size)
    height += rng.normal(0, 1.2, height.shape) + 0.8 * smooth_noise(rng, size, 2)
    low = height.min()
    height = np.minimum(height - low, 252)
    return np.rint(height * 255 / height.max()).astype(np.uint8), mask.astype(np.uint8)


def smooth_noise(rng, size, sigma):
    """Return noise of SD 1 with structures of about `sigma` pixels."""
    noise = ndimage.gaussian_filter(rng.standard_normal((size, size)), sigma)
    return noise / noise.std()


def bow(rng, size):
    """Return the bowl of the glass: a quadratic surface of chosen range, tilted and cubic."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    y0, x0 = rng.uniform(-0.45, 0.45, 2)
    surface = (y - y0) ** 2 + rng.uniform(0.05, 0.6) * (x - x0) ** 2
    surface += 0.1 * rng.uniform(-1, 1) * (y**3 + x**3)
    return rng.uniform(*BOW_LEVELS) * (surface - surface.min()) / np.ptp(surface)


def scan_lines(rng, size):
    """Return offsets of whole rows: small ones everywhere, in some maps lasting steps."""
    rows = rng.normal(0, 0.5, size)
    if rng.random() < 0.4:
        for start in rng.integers(0, size, rng.integers(1, 4)):
            rows[start:] += rng.choice([-1, 1]) * rng.uniform(2, 6)
    return rows[:, None]


def debris(rng, mask):
    """Return specks of debris on the glass, and the few spikes that set the scale."""
    height = np.zeros(mask.shape)
    glass = np.argwhere(ndimage.distance_transform_edt(~mask) > 6)
    for _ in range(rng.integers(10, 45)):
        centre = glass[rng.integers(len(glass))]
        radius = min(rng.lognormal(0, 0.5), 4)
        for _ in range(rng.integers(1, 4)):
            spot = centre + rng.normal(0, radius, 2)
            stamp(height, spot, radius * rng.uniform(0.6, 1), rng.lognormal(2.5, 0.7))
    for _ in range(rng.integers(1, 3)):
        stamp(height, rng.uniform(0, len(mask), 2), rng.uniform(1, 2.5), rng.uniform(230, 300))
    return height


def stamp(height, centre, radius, top):
    """Raise `height` to a dome of a radius in pixels; at least the nearest pixel."""
    reach = int(radius) + 2
    y, x = np.rint(centre).astype(int)
    box = tuple(slice(max(c - reach, 0), max(c + reach + 1, 0)) for c in (y, x))
    rows, columns = np.ogrid[box]
    near = height[box]
    rows, columns = rows[: near.shape[0]], columns[:, : near.shape[1]]
    far = ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / max(radius, 0.75) ** 2
    np.maximum(near, np.where(far < 1, top * np.sqrt(np.clip(1 - 0.8 * far, 0, 1)), 0), out=near)


def walk(rng, start, heading, length, *, bend):
    """Return points (N, 2), one pixel apart, of a curve that sets out towards `heading`."""
    turns = ndimage.gaussian_filter1d(rng.standard_normal(max(int(length), 2)), 4)
    angle = heading + np.cumsum(3 * bend * turns)
    return start + np.cumsum(np.column_stack([np.sin(angle), np.cos(angle)]), axis=0)


def draw_process(rng, cell, start, heading, *, length, radius, top, branches):
    """Draw a process that tapers, beaded and branching, with a small growth cone."""
    points = walk(rng, start, heading, length, bend=0.06)
    taper = np.linspace(1, 0.35, len(points)) * rng.uniform(0.75, 1.25, len(points))
    for point, share in zip(points, taper, strict=True):
        stamp(cell, point, radius * share, top * (0.4 + 0.6 * share))
    for bead in rng.integers(0, len(points), len(points) // 25):
        stamp(cell, points[bead], 1.6 * radius * taper[bead], top)
    for _ in range(branches):
        fork = rng.integers(len(points) // 4, len(points))
        turn = heading + rng.choice([-1, 1]) * rng.uniform(0.5, 1.2)
        draw_process(
            rng, cell, points[fork], turn, length=length * rng.uniform(0.2, 0.5),
            radius=0.6 * radius, top=0.7 * top, branches=branches // 2,
        )  # fmt: skip
    return points


def draw_cell(rng, size, kind):
    """Return the heights of one cell: body, nucleus, processes and filopodia."""
    cell = np.zeros((size, size))
    centre = rng.uniform(0.1 * size, 0.9 * size, 2)
    heading = rng.uniform(0, 2 * np.pi)
    if kind == "spread":
        add_lamella(rng, cell, centre)
    nucleus(rng, cell, centre, heading, rng.uniform(70, 200))
    arms = {"spread": rng.integers(1, 3), "spindle": 2, "branched": rng.integers(3, 6)}[kind]
    for arm in range(arms):
        draw_process(
            rng, cell, centre, heading + 2 * np.pi * arm / arms + rng.normal(0, 0.25),
            length=rng.uniform(60, 150),
            radius=rng.uniform(1.2, 2.5) if kind == "branched" else rng.uniform(4, 8),
            top=rng.uniform(20, 45), branches=rng.integers(1, 4) if kind == "branched" else 0,
        )  # fmt: skip
    cell *= 1 + 0.15 * smooth_noise(rng, size, 1.5) * (cell > 0)
    add_filopodia(rng, cell)
    return cell


def nucleus(rng, cell, centre, heading, top):
    """Raise an elongated dome."""
    y, x = np.indices(cell.shape) - centre[:, None, None]
    along, across = x * np.cos(heading) + y * np.sin(heading), y * np.cos(heading) - x * np.sin(
        heading
    )
    far = (along / rng.uniform(12, 22)) ** 2 + (across / rng.uniform(6, 10)) ** 2
    np.maximum(cell, np.where(far < 1, top * (1 - far) + 20, 0), out=cell)


def add_lamella(rng, cell, centre):
    """Add a thin sheet with concave edges between its corners, fibrous and pitted."""
    corners = rng.integers(4, 7)
    angles = np.sort(2 * np.pi * (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) / corners)
    reach = rng.uniform(35, 90, corners)
    points = centre + reach[:, None] * np.column_stack([np.sin(angles), np.cos(angles)])
    t = np.linspace(0, 1, 40)[:, None]
    edges = []
    for a, b in zip(points, np.roll(points, -1, axis=0), strict=True):
        pull = (a + b) / 2 + rng.uniform(-0.1, 0.45) * (centre - (a + b) / 2)
        edges.append((1 - t) ** 2 * a + 2 * t * (1 - t) * pull + t**2 * b)
    outline = np.concatenate(edges)
    outline += ndimage.gaussian_filter1d(rng.normal(0, 3, outline.shape), 1.5, axis=0)
    sheet = np.zeros(cell.shape)
    sheet[polygon(*outline.T, shape=cell.shape)] = 1
    depth = ndimage.distance_transform_edt(sheet)
    fibres = np.abs(smooth_noise(rng, len(cell), 2)) + 0.5 * smooth_noise(rng, len(cell), 1)
    sheet *= rng.uniform(10, 22) * (1 - 0.7 * np.exp(-depth / 3)) * np.clip(1 + 0.2 * fibres, 0.3, 2)
    np.maximum(cell, sheet, out=cell)


def add_filopodia(rng, cell):
    """Grow thin straight hairs, one or two pixels wide, out of the outline."""
    outside = ndimage.distance_transform_edt(cell == 0)
    slope = np.stack(np.gradient(ndimage.gaussian_filter(outside, 2)))
    rim = np.argwhere(outside == 1)
    if not len(rim):
        return
    crowd = smooth_noise(rng, len(cell), 15)
    for start in rim[rng.random(len(rim)) < 0.12]:
        if crowd[tuple(start)] < 0:
            continue
        away = slope[(slice(None), *start)] + rng.normal(0, 0.5, 2)
        end = start + away / (np.linalg.norm(away) + 1e-6) * rng.exponential(6)
        rows, columns = line(*start, *np.rint(end).astype(int))
        inside = (rows >= 0) & (columns >= 0) & (rows < len(cell)) & (columns < len(cell))
        rows, columns = rows[inside], columns[inside]
        cell[rows, columns] = np.maximum(cell[rows, columns], rng.uniform(4, 14))
