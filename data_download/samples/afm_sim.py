"""Simulated AFM height maps: cells with thin processes on glass, as the scanner shows them."""

import numpy as np
from scipy import ndimage
from skimage.draw import line, polygon

from .fields import smooth_noise

__all__ = ["afm_maps", "simulate_map"]

COUNTS = {"train": 16, "val": 4, "test": 6}
SIZE_PX, MARGIN_PX = 256, 24
KINDS = {"spread": 0.55, "spindle": 0.3, "branched": 0.15}
BOW_LEVELS = (33, 46)  # rise of the glass from its lowest to its highest point
SPIKE_LEVELS = (215, 300)  # a few spikes set the scale: min-max export
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
        Height and width in pixels, at least 128.

    Returns
    -------
    image, mask : ndarray of uint8, YX
        Heights from the lowest (0) to the highest point (255), and 1 for cell.

    Notes
    -----
    Imitates the contact-mode height maps of astrocytes of Tiryaki et al. 2022, cells at about
    half their scale: each map is exported from its minimum to its maximum, so that a few spikes
    set the scale; the glass is a bowl that rises by more than the height of most of a cell;
    lasting steps between scan lines; filopodia one or two pixels wide and hardly above the
    glass; debris that is no cell. `docs/samples.md` has the figures side by side.
    """
    several = [draw_cell(rng, size + 2 * MARGIN_PX) for _ in range(rng.integers(1, 4))]
    cells = np.max(several, axis=0)[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    mask = cells > 0
    height = ndimage.gaussian_filter(cells, 0.4) + draw_glass(rng, size)
    height += draw_debris(rng, mask) + rng.normal(0, 0.08, mask.shape)
    height -= height.min()
    height = np.minimum(height, 255)
    return np.rint(height * (255 / height.max())).astype(np.uint8), mask.astype(np.uint8)


def draw_glass(rng, size):
    """Return the bare glass: scanner bow, slow drift, and offsets of scan lines."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    y0, x0 = rng.uniform(-0.7, 0.7, 2)
    bow = (y - y0) ** 2 + rng.uniform(0.05, 0.8) * (x - x0) ** 2
    glass = rng.uniform(*BOW_LEVELS) * (bow - bow.min()) / np.ptp(bow)
    glass += rng.uniform(-5, 5) * y**3 + 2.2 * smooth_noise((size, size), size / 8, rng)
    rows = rng.normal(0, 0.1, size)
    if rng.random() < 0.35:
        for start in rng.integers(0, size, rng.integers(1, 4)):
            rows[start:] += rng.normal(0, 2.5)
    return glass + rows[:, None]


def draw_debris(rng, mask):
    """Return debris and dips on the glass, and the spikes that set the scale."""
    height = np.zeros(mask.shape)
    glass = np.argwhere(ndimage.distance_transform_edt(~mask) > 5)
    for _ in range(rng.integers(8, 45)):
        centre = glass[rng.integers(len(glass))]
        spread = rng.lognormal(0.2, 0.6)
        for _ in range(rng.integers(1, 5)):
            spot = centre + rng.normal(0, spread, 2)
            stamp(height, spot, rng.uniform(0.5, 1.8), rng.lognormal(2, 0.8))
    for centre in rng.uniform(0, len(mask), (rng.integers(1, 3), 2)):
        for spot in centre + rng.normal(0, 1, (2, 2)):
            stamp(height, spot, rng.uniform(0.8, 1.5), rng.uniform(*SPIKE_LEVELS))
    dips = np.zeros(mask.shape)
    for centre in rng.uniform(0, len(mask), (rng.integers(2, 8), 2)):
        stamp(dips, centre, rng.uniform(0.5, 1.2), rng.uniform(3, 11))
    return height - dips


def stamp(height, centre, radius, top):
    """Raise `height` to a dome of at least one pixel."""
    reach = int(radius) + 2
    y, x = np.rint(centre).astype(int)
    box = tuple(slice(max(c - reach, 0), max(c + reach + 1, 0)) for c in (y, x))
    near = height[box]
    rows = box[0].start + np.arange(near.shape[0])[:, None] - centre[0]
    columns = box[1].start + np.arange(near.shape[1]) - centre[1]
    far = (rows**2 + columns**2) / max(radius, 0.75) ** 2
    np.maximum(near, top * np.clip(1 - far, 0, None) ** 0.7, out=near)


def walk(rng, start, heading, length):
    """Return points (N, 2), one pixel apart, of a gently bent curve."""
    turns = ndimage.gaussian_filter1d(rng.normal(0, 0.06, max(int(length), 2)), 5)
    angle = heading + np.cumsum(turns)
    return start + np.cumsum(np.column_stack([np.sin(angle), np.cos(angle)]), axis=0)


def draw_process(rng, cell, start, heading, *, length, radius, top, forks=0):
    """Draw a process that tapers from its root, with varicosities and thinner branches."""
    points = walk(rng, start, heading, length)
    along = np.arange(len(points))
    beads = smooth_noise((len(along),), 4, rng)
    taper = (0.25 + 0.75 * np.exp(-along / (0.4 * length))) * (1 + 0.12 * beads)
    for point, share in zip(points, taper, strict=True):
        stamp(cell, point, radius * share, top * share)
    for fork in rng.integers(len(points) // 4, len(points), forks):
        turn = heading + rng.choice([-1, 1]) * rng.uniform(0.4, 1.1)
        size = {"length": length * rng.uniform(0.2, 0.5), "radius": 0.6 * radius, "top": 0.7 * top}
        draw_process(rng, cell, points[fork], turn, **size, forks=forks // 2)


def draw_cell(rng, size):
    """Return the heights of one cell, 0 outside: sheet, processes, nucleus, filopodia."""
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    cell = np.zeros((size, size))
    centre = rng.uniform(MARGIN_PX, size - MARGIN_PX, 2)
    heading = rng.uniform(0, 2 * np.pi)
    if kind == "spread":
        for corner in draw_sheet(rng, cell, centre):
            out = np.arctan2(*(corner - centre))
            root = corner - 10 * np.array([np.sin(out), np.cos(out)])
            length = rng.uniform(15, 90)
            radius = rng.uniform(2, 9)
            draw_process(rng, cell, root, out, length=length, radius=radius, top=18, forks=1)
    elif kind == "spindle":
        for turn in (0, np.pi):
            draw_process(
                rng, cell, centre, heading + turn + rng.normal(0, 0.15), forks=rng.integers(0, 2),
                length=rng.uniform(60, 190), radius=rng.uniform(9, 17), top=rng.uniform(35, 80),
            )  # fmt: skip
    else:
        for arm in range(rng.integers(3, 6)):
            draw_process(
                rng, cell, centre, heading + 1.4 * arm + rng.normal(0, 0.3),
                forks=rng.integers(1, 4), length=rng.uniform(60, 160),
                radius=rng.uniform(2, 5), top=rng.uniform(25, 50),
            )  # fmt: skip
    cell *= surface_texture(rng, cell.shape)
    add_nucleus(rng, cell, centre, heading, flat=kind == "spread")
    cell = bend(rng, cell)
    add_filopodia(rng, cell)
    return cell


def draw_sheet(rng, cell, centre):
    """Draw a thin sheet with concave edges; return its corners."""
    corners = rng.integers(3, 7)
    angles = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) / corners
    reach = rng.uniform(50, 130, corners)[:, None]
    points = centre + reach * np.column_stack([np.sin(angles), np.cos(angles)])
    part = np.linspace(0, 1, 40)[:, None]
    edges = []
    for a, b in zip(points, np.roll(points, -1, axis=0), strict=True):
        pull = (a + b) / 2 + rng.uniform(-0.2, 0.6) * (centre - (a + b) / 2)
        edges.append((1 - part) ** 2 * a + 2 * part * (1 - part) * pull + part**2 * b)
    sheet = np.pad(cell, 1)
    sheet[polygon(*(np.concatenate(edges) + 1).T, shape=sheet.shape)] = 1
    depth = ndimage.distance_transform_edt(sheet)[1:-1, 1:-1]
    np.maximum(cell, rng.uniform(16, 42) * (1 - np.exp(-depth / rng.uniform(5, 18))), out=cell)
    return points


def add_nucleus(rng, cell, centre, heading, *, flat):
    """Raise the cell by a smooth, elongated hill over its nucleus."""
    y, x = np.indices(cell.shape) - centre[:, None, None]
    along = x * np.cos(heading) + y * np.sin(heading)
    across = y * np.cos(heading) - x * np.sin(heading)
    long, short = rng.uniform(12, 22), rng.uniform(8, 12)
    far = (along / long) ** 2 + (across / short) ** 2
    far *= 1 + 0.12 * smooth_noise(cell.shape, 8, rng)
    top = rng.uniform(60, 150) if flat else rng.uniform(110, 220)
    cell += top * np.clip(1 - far / 2.2, 0, None) ** 1.5


def surface_texture(rng, shape):
    """Return the relative height of fibres, grains and pits."""
    fibres = smooth_noise(shape, rng.permutation([0.7, 8]), rng)
    relief = np.clip(1 + 0.1 * fibres + 0.1 * smooth_noise(shape, 0.9, rng), 0.5, 1.6)
    return relief * np.where(smooth_noise(shape, 2, rng) > 2.5, 0.7, 1)


def bend(rng, cell):
    """Bend the cell and make its outline ragged; heights below the noise count as glass."""
    shape = cell.shape
    shift = [10 * smooth_noise(shape, 22, rng) + 0.7 * smooth_noise(shape, 2, rng) for _ in shape]
    bent = ndimage.map_coordinates(cell, np.indices(shape) + shift, order=1, mode="nearest")
    return np.where(bent > 0.7, bent, 0)


def add_filopodia(rng, cell):
    """Grow crowds of hairs, one or two pixels wide, out of the outline."""
    outside = ndimage.distance_transform_edt(cell == 0)
    away = np.stack(np.gradient(ndimage.gaussian_filter(outside, 2)))
    crowd = smooth_noise(cell.shape, 15, rng)
    rim = np.argwhere((outside > 0) & (outside <= 1) & (crowd > 0.2))
    for start in rim[rng.random(len(rim)) < 0.2]:
        out = np.arctan2(*away[(slice(None), *start)]) + rng.normal(0, 0.4)
        points = walk(rng, start, out, min(2 + rng.exponential(5), 25))
        low = rng.uniform(3, 12)
        bend = np.rint(points[[0, len(points) // 2, -1]]).astype(int)
        for a, b in zip(bend[:-1], bend[1:], strict=True):
            rows, columns = line(*a, *b)
            kept = (np.minimum(rows, columns) >= 0) & (np.maximum(rows, columns) < len(cell))
            cell[rows[kept], columns[kept]] = np.maximum(cell[rows[kept], columns[kept]], low)
