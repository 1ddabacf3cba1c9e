"""Where the cells, mitochondria and vesicles of a simulated EM volume lie."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import zoom
from scipy.spatial import cKDTree

from .fields import smooth_noise, unit_vectors

__all__ = ["Scene", "build_scene", "scatter_vesicles"]

STEP = 2  # distances are worked out on every second voxel and interpolated
LINES_PER_VOXEL = 30 / 256**2  # for each voxel of a slice
ROUNDING = 3.0  # voxels: a mitochondrion against a membrane has no sharp corner
VESICLE_GAP = 8.0  # voxels between the centres of two vesicles: 40 nm


class Scene(NamedTuple):
    """Geometry of one volume, all arrays ZYX, distances in voxels.

    `cell` numbers the neurite of each voxel, `depth` is the distance to its membrane,
    `mito` the signed distance to the nearest mitochondrion (negative inside) and `cristae`
    the phase of its inner membranes in turns.
    """

    cell: np.ndarray
    depth: np.ndarray
    mito: np.ndarray
    cristae: np.ndarray


def build_scene(shape, mito_fraction, rng):
    """Lay out neurites and mitochondria.

    Parameters
    ----------
    shape : tuple of int
        ZYX.
    mito_fraction : float
        Share of the volume that mitochondria fill; reached within about a tenth.
    rng : numpy.random.Generator
        Source of all draws.

    Returns
    -------
    Scene

    Notes
    -----
    Neurites are the Voronoi cells of straight lines of random direction, each with its own
    thickness, in space bent by two smooth fields. Mitochondria are rods about those same
    lines in the same bent space, so they follow and fill their neurite.
    """
    coarse = tuple(-(-n // STEP) for n in shape)
    points, directions, widths = _draw_lines(shape, rng)
    position = _bent_grid(coarse, rng)
    cell, depth = _nearest_two(position, points, directions, widths)
    mito, cristae = _draw_mitochondria(
        position, points, directions, cell, depth, mito_fraction, rng
    )
    fine = [_interpolate(field, shape) for field in (depth, mito, cristae)]
    for axis in range(3):
        cell = cell.repeat(STEP, axis)
    return Scene(cell[tuple(slice(n) for n in shape)], *fine)


def _draw_lines(shape, rng):
    n = max(4, round(LINES_PER_VOXEL * shape[1] * shape[2]))
    low, high = np.full(3, -40.0), np.array(shape) + 40.0
    return rng.uniform(low, high, (n, 3)), unit_vectors(n, 3, rng), rng.uniform(-20, 32, n)


def _bent_grid(coarse, rng):
    grid = np.stack(np.meshgrid(*[np.arange(n) * STEP + 0.5 for n in coarse], indexing="ij"))
    for axis in range(3):
        grid[axis] += 15 * smooth_noise(coarse, 45 / STEP, rng)
        grid[axis] += 3 * smooth_noise(coarse, 12 / STEP, rng)
    return grid.astype(np.float32)


def _nearest_two(position, points, directions, widths):
    """Return which line is nearest, and the distance to where another one is as near."""
    first = np.full(position.shape[1:], np.inf, np.float32)
    second, cell = first.copy(), np.zeros(first.shape, np.int32)
    for number, (point, direction, width) in enumerate(
        zip(points, directions, widths, strict=True)
    ):
        distance = _line_distance(position, point, direction)[0] - np.float32(width)
        second = np.minimum(second, np.maximum(first, distance))
        cell[distance < first] = number
        first = np.minimum(first, distance)
    gap = second - first
    slope = np.sqrt(sum(g**2 for g in np.gradient(gap, STEP)))
    return cell, gap / np.clip(slope, 0.5, None)


def _line_distance(position, point, direction):
    """Return the distance from a line and the coordinate along it, for every voxel."""
    offset = position - point.astype(np.float32)[:, None, None, None]
    along = np.tensordot(direction.astype(np.float32), offset, 1)
    return np.sqrt(np.maximum(np.sum(offset**2, axis=0) - along**2, 0)), along


def _draw_mitochondria(position, points, directions, cell, depth, fraction, rng):
    mito = np.full(cell.shape, 99.0, np.float32)
    cristae = np.zeros(cell.shape, np.float32)
    wobble = smooth_noise(cell.shape, 14 / STEP, rng)
    seats = np.argwhere(depth >= 22)
    for seat in map(tuple, rng.permutation(seats)[:2000]):
        if (mito < 0).mean() >= 0.95 * fraction:
            break
        number = cell[seat]
        line = points[number], directions[number]
        if _line_distance(position[(slice(None), *seat)][:, None, None, None], *line)[0] > 10:
            continue
        radial, along = _line_distance(position, *line)
        beyond = np.maximum(np.abs(along - along[seat]) - rng.uniform(5, 70), 0)
        radius = min(rng.uniform(20, 36), depth[seat])
        whole = np.hypot(radial, beyond) - radius * (1 + 0.1 * wobble)
        rod = np.where(cell == number, _rounded_maximum(whole, 5 - depth), 99)
        inside, taken = rod < 0, (mito < 0).mean()
        fits = inside.sum() > 0.75 * (whole < 0).sum() and (mito[inside] > 8).all()
        if not fits or inside.mean() > min(1.1 * fraction - taken, 0.45 * fraction):
            continue
        near, normal = rod < mito, _lamella_normal(directions[number], rng)
        phase = np.tensordot(normal.astype(np.float32), position, 1)
        cristae[near] = phase[near] / rng.uniform(9, 13)
        mito = np.minimum(mito, rod)
    return mito, cristae + 0.4 * smooth_noise(cell.shape, 10 / STEP, rng)


def _lamella_normal(direction, rng):
    """Return the normal of the cristae: across the rod at a random slant."""
    normal = 0.6 * direction + unit_vectors(1, 3, rng)[0]
    return normal / np.linalg.norm(normal)


def _rounded_maximum(a, b):
    return ROUNDING * np.logaddexp(a / ROUNDING, b / ROUNDING)


def _interpolate(field, shape):
    fine = zoom(field, STEP, order=1, mode="nearest", grid_mode=True)
    return fine[tuple(slice(n) for n in shape)]


def scatter_vesicles(scene, n_clusters, rng):
    """Return the centres of synaptic vesicles, as rows (z, y, x), and one synapse per cluster.

    Parameters
    ----------
    scene : Scene
        From `build_scene`.
    n_clusters : int
        How many presynaptic sites to look for.
    rng : numpy.random.Generator
        Source of all draws.

    Returns
    -------
    vesicles, synapses : ndarray of float
        Both (n, 3). Vesicles lie in the cytoplasm of one neurite each, at least 40 nm apart;
        a synapse lies on the membrane nearest to its cluster.
    """
    shape = np.array(scene.cell.shape)
    vesicles, synapses = [np.zeros((0, 3))], [np.zeros((0, 3))]
    for _ in range(n_clusters):
        centre = rng.integers(0, shape)
        cloud = centre + rng.normal(0, rng.uniform(10, 24), (int(rng.integers(60, 400)), 3))
        cloud = cloud[((cloud >= 0) & (cloud < shape - 1)).all(axis=1)]
        index = tuple(np.round(cloud).astype(int).T)
        same = scene.cell[index] == scene.cell[tuple(centre)]
        vesicles.append(cloud[same & (scene.depth[index] > 6) & (scene.mito[index] > 7)])
        edge = cloud[same & (scene.depth[index] < 4)]
        synapses.append(edge[:1])
    vesicles = np.concatenate(vesicles)
    pairs = cKDTree(vesicles).query_pairs(VESICLE_GAP, output_type="ndarray")
    keep = np.ones(len(vesicles), bool)
    for first, other in pairs:
        keep[other] &= not keep[first]
    return vesicles[keep], np.concatenate(synapses)
