"""Simulated isotropic FIB-SEM volumes of neuropil with mitochondria."""

import numpy as np
from scipy.ndimage import gaussian_filter

from .em_geometry import build_scene, scatter_vesicles
from .fields import smooth_noise

__all__ = ["em_volumes", "simulate_em"]

SHAPES = {"train": (64, 256, 256), "val": (24, 256, 256), "test": (32, 256, 256)}
SURROUNDINGS_GREY = 138  # mean of all that is no mitochondrion
FACTS = {
    "title": "Simulated FIB-SEM of neuropil, mitochondria",
    "modality": "FIB-SEM (simulated)",
    "axes": "ZYX",
    "pixel_size_um": (0.005, 0.005, 0.005),
    "licence": "CC0-1.0",
    "source": "simulated by data_download.samples.em_sim",
    "task": "semantic",
}


def em_volumes(*, seed=42):
    """Make the sample `em_sim`: one volume each for training, validation and test.

    Parameters
    ----------
    seed : int
        Each volume has its own random stream, drawn from this seed: no tissue is shared.

    Returns
    -------
    dict of str to list of (volume, mask)
        uint8 ZYX both; 64, 24 and 32 slices of 256x256; mask 1 in mitochondria.
    """
    streams = np.random.default_rng(seed).spawn(len(SHAPES))
    return {
        split: [simulate_em(shape, seed=rng)]
        for (split, shape), rng in zip(SHAPES.items(), streams, strict=True)
    }


def simulate_em(shape, *, mito_fraction=0.09, noise=9.5, seed=42):
    """Simulate one block of neuropil as a FIB-SEM at 5 nm shows it.

    Parameters
    ----------
    shape : tuple of int
        ZYX, at least 16 voxels each.
    mito_fraction : float
        Share of the volume that mitochondria fill, 0.04 to 0.11 in real slices.
    noise : float
        Standard deviation of the detector noise in grey levels, independent per voxel.
    seed : int or numpy.random.Generator
        Equal seeds give equal volumes.

    Returns
    -------
    volume : ndarray of uint8
        Grey levels, ZYX.
    mask : ndarray of uint8
        1 in mitochondria with their outer membrane, 0 elsewhere.

    Raises
    ------
    ValueError
        If `shape` has not three axes of 16 voxels or more.

    Notes
    -----
    After CA1 hippocampus at 5 x 5 x 5 nm: bright cytoplasm of a different grey in each neurite,
    dark membranes of 30 to 40 nm for both cells together, mitochondria of 170 to 300 nm width
    with a dark rim, a grey matrix and lamellar cristae; synaptic vesicles of 40 nm,
    post-synaptic densities, endoplasmic reticulum, lysosomes and dark neurites. The last four
    are as dark as mitochondria, so that no threshold finds these.
    """
    shape = tuple(shape)
    if len(shape) != 3 or min(shape) < 16:
        raise ValueError(f"shape is {shape}: give (z, y, x) with at least 16 voxels each")
    rng = np.random.default_rng(seed)
    scene = build_scene(shape, mito_fraction, rng)
    n_sites = max(1, round(np.prod(shape) / 180_000))
    vesicles, synapses = scatter_vesicles(scene, 2 * n_sites, rng)
    volume = _paint_cytoplasm(scene, rng)
    _add_spots(volume, vesicles, _vesicle())
    _paint_lysosomes(volume, scene, max(1, n_sites // 3), rng)
    _paint_mitochondria(volume, scene, rng)
    _paint_membranes(volume, scene, synapses, rng)
    outside = scene.mito >= 0
    volume[outside] += SURROUNDINGS_GREY - volume[outside].mean()
    grey = gaussian_filter(volume, 1.0) + 2.5 * smooth_noise(shape, 80, rng)
    grey += rng.normal(0, 1.2, (shape[0], 1, 1)) + noise * rng.standard_normal(shape)
    return np.clip(np.round(grey), 0, 255).astype(np.uint8), (scene.mito < 0).astype(np.uint8)


def _paint_cytoplasm(scene, rng):
    """Return one grey per neurite, some dark, with grains and endoplasmic reticulum."""
    shape, n = scene.cell.shape, scene.cell.max() + 1
    greys = np.where(rng.random(n) < 0.1, rng.normal(128, 8, n), rng.normal(166, 12, n))
    volume = greys.astype(np.float32)[scene.cell]
    volume += 7 * smooth_noise(shape, 1.8, rng) + 6 * smooth_noise(shape, 6, rng)
    volume -= 22 * np.clip(smooth_noise(shape, 2.6, rng) - 1.3, 0, None)
    sheets = np.exp(-((smooth_noise(shape, 9, rng) / 0.14) ** 2))
    return volume - 50 * sheets * np.clip(2 * smooth_noise(shape, 16, rng) - 1.5, 0, 1)


def _vesicle():
    """Return the darkness of a vesicle of 40 nm: a membrane round a little lumen."""
    radius = _radius_grid(7)
    return 62 * np.exp(-0.5 * ((radius - 2.8) / 1.5) ** 2)


def _radius_grid(half):
    axis = np.arange(-half, half + 1)
    return np.sqrt(sum(a**2 for a in np.meshgrid(axis, axis, axis, indexing="ij")))


def _add_spots(volume, centres, darkness):
    """Subtract `darkness`, centred on each of `centres`, from the volume in place."""
    half = darkness.shape[0] // 2
    for centre in np.round(centres).astype(int):
        low, high = centre - half, centre + half + 1
        inside = tuple(slice(max(a, 0), b) for a, b in zip(low, high, strict=True))
        part = tuple(
            slice(max(-a, 0), min(b, n) - a)
            for a, b, n in zip(low, high, volume.shape, strict=True)
        )
        volume[inside] -= darkness[part]


def _paint_lysosomes(volume, scene, number, rng):
    """Fill dark round bodies into the cytoplasm, half of them with rings like onions."""
    rooms = np.argwhere((scene.depth > 11) & (scene.mito > 20))
    grid = np.ogrid[tuple(slice(n) for n in volume.shape)]
    bumps = 1 + 0.15 * smooth_noise(volume.shape, 8, rng)
    for centre in rooms[rng.integers(0, len(rooms), number if len(rooms) else 0)]:
        distance = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))) * bumps
        body = (distance < rng.uniform(10, 22)) & (scene.depth > 5) & (scene.mito > 4)
        rings = rng.choice([0, 25]) * np.cos(2 * np.pi * distance / 8)
        volume[body] = (rng.uniform(88, 112) + rings)[body] + 0.4 * (volume[body] - 160)


def _paint_mitochondria(volume, scene, rng):
    """Fill mitochondria with matrix, cristae and the dark rim of their two membranes."""
    inside = scene.mito < 0
    matrix = 112 + 4 * smooth_noise(volume.shape, 3, rng)
    strength = np.clip(1 + 0.7 * smooth_noise(volume.shape, 7, rng), 0, 2)
    matrix -= 11 * strength * np.cos(2 * np.pi * scene.cristae)
    volume[inside] = matrix[inside]
    _blend(volume, 78, 0.85 * np.exp(-0.5 * ((scene.mito + 2) / 2) ** 2))


def _paint_membranes(volume, scene, synapses, rng):
    """Draw the membranes between neighbours, of changing width and darkest at synapses."""
    width = 2.5 * np.exp(0.25 * smooth_noise(volume.shape, 12, rng))
    synapse = np.zeros_like(volume)
    _add_spots(synapse, synapses, -np.exp(-0.5 * (_radius_grid(40) / 16) ** 2))
    width += 2.5 * np.clip(synapse, 0, 1)
    grey = 89 + 6 * smooth_noise(volume.shape, 10, rng)
    _blend(volume, grey, 0.95 * np.exp(-0.5 * (scene.depth / width) ** 2))


def _blend(volume, grey, weight):
    """Move the volume towards `grey` in place, by the fraction `weight`."""
    volume += weight * (grey - volume)
