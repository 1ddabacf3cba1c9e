"""Simulated fluorescent nuclei in two or three dimensions."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_dilation, find_objects, gaussian_filter, label
from skimage.segmentation import relabel_sequential

from .fields import degrade, smooth_noise, unit_vectors

__all__ = ["Nuclei", "nuclei_images", "simulate_nuclei"]

N_IMAGES = {"train": 24, "val": 6, "test": 8}
SHAPE = (256, 256)
MAX_HIDDEN = 0.15  # no nucleus loses more of its area to earlier ones
MIN_PIXELS = 12  # smaller rests, at the border of the image, get no label
FACTS = {
    "title": "Simulated fluorescent nuclei, crowded and noisy",
    "modality": "fluorescence microscopy, nuclear stain (simulated)",
    "axes": "YX",
    "pixel_size_um": [0.5, 0.5],
    "licence": "CC0-1.0 (made by this package)",
    "source": "data_download.samples.nuclei_sim",
}


class Nuclei(NamedTuple):
    """What `simulate_nuclei` returns."""

    image: np.ndarray
    clean: np.ndarray
    labels: np.ndarray


def nuclei_images(*, seed=42):
    """Make the sample `nuclei_sim`: 24 training, 6 validation and 8 test images of 256x256.

    Parameters
    ----------
    seed : int
        Each image has its own random stream, drawn from this seed.

    Returns
    -------
    dict of str to list of (image, labels)
        Images uint16 YX, labels int32 YX numbered from 1.

    Notes
    -----
    Images differ in the number of nuclei (25 to 55), the overlap probability and the light (30
    to 120 photons), as the images of one screen do. The overlap runs evenly from 0.2 to 0.7 in
    each split, so that the splits are equally hard.
    """
    streams = iter(np.random.default_rng(seed).spawn(sum(N_IMAGES.values())))
    return {
        split: [_draw_image(next(streams), overlap) for overlap in np.linspace(0.2, 0.7, number)]
        for split, number in N_IMAGES.items()
    }


def _draw_image(rng, overlap):
    nuclei = simulate_nuclei(
        SHAPE,
        int(rng.integers(25, 56)),
        overlap=overlap,
        photons=rng.uniform(30, 120),
        seed=rng,
    )
    return nuclei.image, nuclei.labels


def simulate_nuclei(
    shape,
    n_nuclei,
    *,
    overlap=0.5,
    radius=11.0,
    anisotropy=1.0,
    photons=60.0,
    haze=0.25,
    uneven=0.35,
    blur=1.2,
    read_noise=4.0,
    offset=100.0,
    seed=42,
):
    """Simulate one fluorescence image or stack of nuclei, with its labels.

    Parameters
    ----------
    shape : tuple of int
        YX or ZYX.
    n_nuclei : int
        How many nuclei to place. Fewer are made where the image is full.
    overlap : float
        Probability that a nucleus is placed against an earlier one, touching or partly
        overlapping it; the others keep a distance of two pixels. 0 gives isolated nuclei.
    radius : float
        Mean radius in pixels (in the plane).
    anisotropy : float
        Size of a voxel along z over that along x; stacks only.
    photons : float
        Expected photons per pixel in a nucleus of mean brightness.
    haze : float
        Out-of-focus light, as a fraction of the light of the nuclei.
    uneven : float
        Relative range of the illumination over the field.
    blur : float or tuple of float
        Standard deviation of the point spread function in pixels, one or one per axis.
    read_noise, offset : float
        Camera noise (standard deviation) and camera offset, in grey levels.
    seed : int or numpy.random.Generator
        Equal seeds give equal images.

    Returns
    -------
    Nuclei
        `image` (uint16), `clean` (float32: what the camera would show without noise) and
        `labels` (int32, numbered from 1, each one connected piece).

    Raises
    ------
    ValueError
        If `shape` has not two or three axes or `overlap` is no probability.

    Notes
    -----
    After the plan of BBBC004 (simulated nuclei with a chosen overlap probability). Outlines
    are ellipsoids, a third of them bent to kidneys, whose radius varies with direction in three
    random waves. Each nucleus has its own brightness (log-normal), chromatin texture and
    nucleoli, and light adds up where two overlap, as in a wide-field image; the label belongs
    to the nucleus placed first.

    Examples
    --------
    >>> simulate_nuclei((64, 64), 4, seed=1).labels.max()
    np.int32(4)
    """
    shape = tuple(shape)
    if len(shape) not in (2, 3):
        raise ValueError(f"shape is {shape}: give (y, x) or (z, y, x)")
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap is {overlap}: give a probability from 0 to 1")
    rng = np.random.default_rng(seed)
    scale = np.array([anisotropy, 1, 1][-len(shape) :])
    margin = np.ceil(2 * radius / scale).astype(int)
    labels = np.zeros(shape + 2 * margin, np.int32)
    light = np.zeros(labels.shape, np.float32)
    centres = []
    for number in range(1, n_nuclei + 1):
        nucleus = _draw_nucleus(len(shape), radius, scale, rng)
        near = centres if rng.random() < overlap else []
        box = _find_place(nucleus > 0, labels, margin, near, rng)
        if box is not None:
            light[box] += nucleus
            labels[box][(nucleus > 0) & (labels[box] == 0)] = number
            centres.append([(s.start + s.stop) / 2 for s in box])
    field = tuple(slice(m, -m) for m in margin)
    light = gaussian_filter(light, blur)
    light += haze * gaussian_filter(light, 1.5 * radius / scale)
    expected = photons * (light[field] + 0.06) * _illumination(shape, uneven, rng)
    image = degrade(expected, rng, read_noise=read_noise, offset=offset)
    clean = (expected + offset).astype(np.float32)
    return Nuclei(image, clean, _whole_pieces(labels[field]))


def _draw_nucleus(ndim, radius, scale, rng):
    """Return the light of one nucleus, 0 outside it, in a box of odd sides."""
    radius = radius * rng.lognormal(0, 0.17)
    aspect = rng.uniform(1, 1.9) ** np.linspace(-0.5, 0.5, ndim)
    half = np.ceil(1.6 * radius / scale).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-h, h + 1) for h in half], indexing="ij"), -1)
    axes = np.linalg.qr(rng.standard_normal((ndim, ndim)))[0]
    position = (grid * scale) @ axes / (radius * aspect)
    if rng.random() < 1 / 3:
        position[..., 0] += rng.uniform(0.2, 0.5) * (position[..., -1] ** 2 - 0.4)
    distance = np.linalg.norm(position, axis=-1)
    direction = position / np.maximum(distance, 1e-6)[..., None]
    waves = direction @ (unit_vectors(3, ndim, rng).T * [2, 3.5, 5]) + rng.uniform(0, 6.3, 3)
    distance /= 1 + np.cos(waves) @ [0.07, 0.045, 0.03]
    thickness = np.sqrt(np.clip(1 - distance**2, 0, None)) ** (0.6 if ndim == 2 else 0.2)
    return thickness * _draw_chromatin(position, radius, scale, rng) * _draw_brightness(rng)


def _draw_chromatin(position, radius, scale, rng):
    """Return the relative density of DNA: coarse and fine texture, one to four nucleoli."""
    shape, ndim = position.shape[:-1], position.shape[-1]
    texture = 1 + 0.12 * smooth_noise(shape, 0.2 * radius / scale, rng)
    texture += 0.10 * smooth_noise(shape, 0.08 * radius / scale, rng)
    for direction in unit_vectors(rng.integers(1, 5), ndim, rng):
        distance = np.linalg.norm(position - rng.uniform(0.2, 0.7) * direction, axis=-1)
        texture *= 1 - rng.uniform(0.1, 0.4) * np.exp(-0.5 * (distance / 0.13) ** 2)
    return np.clip(texture, 0.1, None)


def _draw_brightness(rng):
    """Return the brightness of one nucleus: log-normal, one in twenty condensed and bright."""
    return rng.lognormal(0, 0.3) * (2.5 if rng.random() < 0.05 else 1)


def _find_place(body, labels, margin, centres, rng):
    """Return the box for a nucleus: against one of `centres`, or apart if there are none.

    None if 40 random places did not fit.
    """
    half = np.array(body.shape) // 2
    field = np.array(labels.shape) - 2 * margin
    halo = binary_dilation(np.pad(body, 2), iterations=2)
    for _ in range(40):
        if not centres:
            box = _box_at(margin + rng.uniform(0, field), half + 2, labels.shape)
            if box and not (labels[box][halo] > 0).any():
                return tuple(slice(s.start + 2, s.stop - 2) for s in box)
            continue
        centre, allowed = centres[rng.integers(len(centres))], rng.uniform(0, MAX_HIDDEN)
        step = unit_vectors(1, body.ndim, rng)[0] * half / half.max()
        for pixels in range(half.max() // 2, 3 * half.max()):
            box = _box_at(centre + pixels * step, half, labels.shape)
            if box and (labels[box][body] > 0).mean() <= allowed:
                return box
    return None


def _box_at(centre, half, shape):
    """Return the box of `half` sides around a point, or None if it leaves the image."""
    corner = np.round(centre).astype(int) - half
    if (corner < 0).any() or (corner + 2 * half + 1 > shape).any():
        return None
    return tuple(slice(c, c + 2 * h + 1) for c, h in zip(corner, half, strict=True))


def _illumination(shape, uneven, rng):
    """Return the light of a lamp that falls by `uneven` from a random centre to the corners."""
    grid = np.meshgrid(*[np.linspace(0, 1, n) for n in shape[-2:]], indexing="ij")
    fall = sum((axis - centre) ** 2 for axis, centre in zip(grid, rng.random(2), strict=True))
    return 1 - uneven * fall / fall.max()


def _whole_pieces(labels):
    """Return labels numbered from 1, each cut down to its largest connected piece."""
    whole = np.zeros(labels.shape, np.int32)
    for number, box in enumerate(find_objects(labels), start=1):
        pieces, n = label(labels[box] == number) if box else (None, 0)
        sizes = np.bincount(pieces.ravel())[1:] if n else np.zeros(1)
        if sizes.max() >= MIN_PIXELS:
            whole[box][pieces == 1 + sizes.argmax()] = number
    return relabel_sequential(whole)[0].astype(np.int32)
