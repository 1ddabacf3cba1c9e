"""Simulated fluorescent worms: long, bent and touching, for methods without a shape model."""

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, label
from scipy.spatial import cKDTree

from .fields import degrade, smooth_noise
from .nuclei_sim import draw_splits

__all__ = ["simulate_worms", "worms_images"]

N_IMAGES = {"train": 16, "val": 4, "test": 8}
SHAPE = (256, 256)
MARGIN = 40  # worms may reach so far over the frame, pixels
MIN_PART = 0.15  # a rest smaller than this part of a mean worm gets no label
MAX_TURN = 3.2  # total bend of a C-shaped worm, radians
OFFSET = 100.0  # grey level of a camera pixel without light
FACTS = {
    "title": "Simulated fluorescent worms, bent and touching",
    "modality": "wide-field fluorescence microscopy, whole body (simulated)",
    "axes": "YX",
    "pixel_size_um": [4.0, 4.0],
    "licence": "CC0-1.0",
    "source": "simulated by data_download.samples.worms_sim",
    "task": "instance",
}


def worms_images(*, seed=42):
    """Make the sample `worms_sim`: 16 training, 4 validation and 8 test images of 256x256.

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
    Images differ in the number of worms (20 to 30 placed, some outside the frame), their
    length (80 to 110 pixels) and width (9 to 11.5), the share that touches another (0.5 to
    0.9), the focus and the light (30 to 120 photons).
    Bodies bend like a C or an S, by up to half a turn, so that a polygon with one radius per
    direction cannot follow them: `docs/samples.md` has the limit.
    """
    return draw_splits(_draw_image, N_IMAGES, seed)


def _draw_image(rng):
    image, _, labels = simulate_worms(
        SHAPE,
        int(rng.integers(20, 31)),
        touch=rng.uniform(0.5, 0.9),
        length=rng.uniform(80, 110),
        width=rng.uniform(9, 11.5),
        photons=rng.uniform(30, 120),
        blur=rng.uniform(1.0, 1.8),
        rng=rng,
    )
    return image, labels


def simulate_worms(
    shape, n_worms, *, touch=0.6, length=95.0, width=10.0, photons=70.0, blur=1.4, rng
):
    """Simulate one image of worms that touch but never cross, with its labels.

    Parameters
    ----------
    shape : tuple of int
        YX.
    n_worms : int
        How many to place; fewer are made where the image is full.
    touch : float
        Probability that a worm lies against an earlier one, bent and turned like it.
    length, width : float
        Mean length along the body and width in its middle, in pixels.
    photons : float
        Photons per pixel in an ordinary worm (sets the Poisson noise).
    blur : float
        Standard deviation of the point spread function in pixels.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    image, clean, labels : ndarray
        uint16; float32, what the camera would show without noise; int32, numbered from 1, each
        label one connected piece.

    Raises
    ------
    ValueError
        If `shape` or `touch` is impossible.

    Notes
    -----
    The heading along a body turns at a rate that is constant (C) or changes its sign once (S),
    plus some noise. The body is round in section, thinner to both ends, one of them more
    pointed; its light has fine grains, a dark bulb near the head and a string of bright
    granules, the gut. Around the worms lie specks and a wide haze.
    """
    if len(shape) != 2 or not 0 <= touch <= 1:
        raise ValueError(f"shape is {shape}, touch is {touch}: give (y, x), and 0 to 1")
    pad = MARGIN + int(0.9 * length + 2 * width)  # so that no worm leaves the array
    labels = np.zeros(np.array(shape) + 2 * pad, np.int32)
    light, placed = np.zeros(labels.shape, np.float32), []
    for number in range(1, n_worms + 1):
        near = placed if rng.random() < touch else []
        worm = _find_place(labels, pad, near, (length, width), rng)
        if worm is not None:
            labels[worm["box"]][worm["away"] <= worm["radii"]] = number
            light[worm["box"]] += _shine(worm, rng)
            placed.append(worm)
    inner = (slice(pad, -pad),) * 2
    haze = 0.25 * gaussian_filter(light, 12) + _draw_specks(labels.shape, rng)
    field = 1 + 0.12 * smooth_noise(shape, max(shape) / 3, rng)
    expected = photons * (gaussian_filter(light, blur) + haze)[inner] + 0.12 * photons * field
    expected = np.clip(expected, 0, None)
    image = degrade(expected, rng, read_noise=6.0, offset=OFFSET, gain=3.0)
    clean = (3.0 * expected + OFFSET).astype(np.float32)
    return image, clean, _keep_whole(labels[inner], MIN_PART * length * width)


def _find_place(labels, pad, placed, size, rng):
    """Return a worm that overlaps none: far from all, or pushed against one of `placed`."""
    low, high = pad - MARGIN, np.array(labels.shape) - pad + MARGIN
    for _ in range(12):
        if placed:
            other = placed[rng.integers(len(placed))]
            worm, gap = _draw_worm(*size, rng, like=other), 0
            across = other["line"][-1] - other["line"][0]
            step = rng.normal(size=2)
            step -= 0.7 * (step @ across) / (across @ across) * across  # rather side by side
            steps = np.arange(4, 60, 0.5)[:, None] * step / np.linalg.norm(step)
            places = other["place"] + steps
        else:
            worm, gap = _draw_worm(*size, rng), 3
            places = rng.uniform(low, high, (1, 2))
        half, wanted = len(worm["away"]) // 2, worm["away"] <= worm["radii"] + gap
        for place in np.round(places).astype(int):
            box = tuple(slice(p - half, p + half + 1) for p in place)
            inside = ((place >= low) & (place < high)).all()
            if inside and not labels[box][wanted].any():
                return {**worm, "place": place, "box": box}
    return None


def _draw_worm(length, width, rng, *, like=None):
    """Return a worm around 0: its middle line (n, 2), and of each pixel of a square what is near.

    `away` is the distance to the line, `along` the place of the nearest point on it (0 to 1),
    `radii` the radius there.
    """
    length = length * rng.uniform(0.8, 1.2)
    along = np.linspace(0, 1, int(2 * length))
    if like is None:
        kind = "CS"[int(rng.random() < 0.45)]
        bend = rng.choice([-1, 1]) * rng.uniform(0.45, 1) * MAX_TURN
        heading = rng.uniform(0, 2 * np.pi)
    else:  # worms that lie against each other bend alike
        kind, bend = like["kind"], like["bend"] * rng.uniform(0.85, 1.1)
        heading = like["heading"] + rng.normal(0, 0.15)
    rate = np.full(len(along), bend)
    if kind == "S":
        rate = 1.5 * bend * np.tanh((along - rng.uniform(0.4, 0.6)) / 0.08)
    wobble = gaussian_filter1d(rng.normal(size=len(along)), 20, mode="nearest")
    angle = np.cumsum(rate / len(along)) + 1.2 * np.cumsum(wobble) / len(along)
    angle += heading - angle[len(angle) // 2]
    line = np.cumsum(np.stack([np.sin(angle), np.cos(angle)], axis=1), axis=0) / 2
    line -= line.mean(axis=0)
    radii = width / 2 * rng.uniform(0.9, 1.1) * _taper(along)
    half = int(np.abs(line).max() + width / 2 + 5)
    pixels = np.moveaxis(np.mgrid[-half : half + 1, -half : half + 1], 0, -1)
    away, nearest = cKDTree(line).query(pixels, distance_upper_bound=width)
    nearest = np.minimum(nearest, len(line) - 1)
    near = {"away": away, "along": along[nearest], "radii": radii[nearest]}
    return {"line": line, "kind": kind, "bend": bend, "heading": heading, **near}


def _taper(along):
    """Return the relative radius from the blunt head (0) to the pointed tail (1)."""
    head = np.clip(along / 0.12, 0, 1)
    tail = np.clip((1 - along) / 0.3, 0, 1)
    return np.sqrt(1 - (1 - head) ** 2) ** 0.7 * (0.15 + 0.85 * np.sqrt(1 - (1 - tail) ** 2))


def _shine(worm, rng):
    """Return the light of one worm: body, gut and bulb."""
    away, along, radii = worm["away"], worm["along"], worm["radii"]
    radius = radii.max()
    depth = np.sqrt(np.clip(1 - (away / np.maximum(radii, 1e-3)) ** 2, 0, None))
    body = depth * (0.75 + 0.10 * smooth_noise(away.shape, 1.2, rng))
    n_points = len(worm["line"])
    string = smooth_noise((n_points,), 5, rng)[np.round(along * (n_points - 1)).astype(int)]
    gut = np.exp(-0.5 * (away / (0.35 * radius)) ** 2) * np.clip(0.25 + 0.35 * string, 0, None)
    body += gut * ((along > 0.2) & (along < 0.9)) * (away < radii)
    bulb = np.exp(-(((along - 0.12) / 0.03) ** 2) - (away / (0.5 * radius)) ** 2)
    return np.clip(body * (1 - 0.45 * bulb), 0, None) * rng.lognormal(0, 0.25)


def _draw_specks(shape, rng):
    """Return small bright specks, food and debris, without label."""
    specks = np.zeros(shape, np.float32)
    spots = rng.uniform(0, shape, (int(rng.integers(20, 60)), 2)).astype(int)
    specks[tuple(spots.T)] = rng.lognormal(0.6, 0.6, len(spots))
    return gaussian_filter(specks, rng.uniform(0.9, 1.3))


def _keep_whole(labels, smallest):
    """Return labels numbered from 1, each cut down to its largest connected piece."""
    whole, n = np.zeros(labels.shape, np.int32), 0
    for number in range(1, labels.max() + 1):
        pieces, count = label(labels == number)
        sizes = np.bincount(pieces.ravel(), minlength=2)[1:]
        if count and sizes.max() >= smallest:
            n += 1
            whole[pieces == 1 + sizes.argmax()] = n
    return whole
