"""Simulated fluorescent nuclei in two or three dimensions."""

import numpy as np
from scipy.ndimage import binary_dilation, find_objects, gaussian_filter, label

from .fields import degrade, smooth_noise, unit_vectors

__all__ = ["nuclei_images", "simulate_nuclei"]

N_IMAGES = {"train": 16, "val": 4, "test": 8}
SHAPE = (256, 256)
MAX_HIDDEN = 0.25  # no nucleus loses more of its area to those above it
MIN_PART = 0.1  # a rest smaller than this part of a mean nucleus gets no label
HAZE = 0.3  # light from outside the focus, as a part of that of the nuclei
UNEVEN = 0.35  # part of the illumination lost to the farthest corner
OFFSET = 100.0  # grey level of a camera pixel without light
FACTS = {
    "title": "Simulated fluorescent nuclei, crowded and noisy",
    "modality": "wide-field fluorescence microscopy, nuclear stain (simulated)",
    "axes": "YX",
    "pixel_size_um": [0.5, 0.5],
    "licence": "CC0-1.0",
    "source": "simulated by data_download.samples.nuclei_sim",
    "task": "instance",
}


def nuclei_images(*, seed=42):
    """Make the sample `nuclei_sim`: 16 training, 4 validation and 8 test images of 256x256.

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
    Images differ in the number of nuclei (25 to 50), their size (mean radius 4.5 to 6 µm), the
    overlap probability (0.2 to 0.5), the focus and the light (30 to 150 photons), as images of
    one screen do. `docs/samples.md` compares their statistics with those of real images.
    """
    return draw_splits(_draw_image, N_IMAGES, seed)


def draw_splits(draw, numbers, seed):
    """Return what `draw` makes of so many random streams for each split as `numbers` says."""
    streams = iter(np.random.default_rng(seed).spawn(sum(numbers.values())))
    return {split: [draw(next(streams)) for _ in range(n)] for split, n in numbers.items()}


def _draw_image(rng):
    image, _, labels = simulate_nuclei(
        SHAPE,
        rng.integers(25, 51),
        overlap=rng.uniform(0.2, 0.5),
        photons=rng.uniform(30, 150),
        radius=rng.uniform(9, 12),
        blur=rng.uniform(1.1, 2.0),
        rng=rng,
    )
    return image, labels


def simulate_nuclei(
    shape,
    n_nuclei,
    *,
    overlap=0.3,
    noise_sigma=5.0,
    photons=100.0,
    gain=3.0,
    radius=10.0,
    anisotropy=1.0,
    blur=1.3,
    rng,
):
    """Simulate one fluorescence image or stack of nuclei, with its labels.

    Parameters
    ----------
    shape : tuple of int
        YX or ZYX.
    n_nuclei : int
        How many nuclei to place; fewer are made where the image is full.
    overlap : float
        Probability that a nucleus touches an earlier one or lies partly below it; 0 gives
        isolated nuclei, two pixels apart or more.
    noise_sigma : float
        Standard deviation of the Gaussian camera noise in grey levels.
    photons, gain : float
        Photons per pixel in an ordinary nucleus (sets the Poisson noise); grey levels per photon.
    radius, anisotropy : float
        Mean radius in pixels (in the plane); voxel size along z over that along x, for stacks.
    blur : float or tuple of float
        Standard deviation of the point spread function in pixels, one or one per axis.
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
        If `shape`, `overlap` or `noise_sigma` is impossible.

    Notes
    -----
    After the plan of BBBC004 (simulated nuclei with a chosen overlap probability). Bodies are
    ellipsoids whose radius varies with direction in three waves; some are bent, some cleft.
    Brightness is log-normal; one nucleus in twenty is condensed, small and bright. Where two
    meet, the upper one, placed first, has the pixels: in two dimensions the light adds up, in
    a stack the lower one is flattened. Behind lie a wide halo and, in two dimensions, nuclei
    out of focus without label. Camera: ``gain * Poisson + 100 + Gaussian noise``.
    """
    shape = _check_arguments(shape, overlap, noise_sigma)
    scale = np.array([anisotropy, 1, 1][-len(shape) :])
    margin = np.ceil(2 * radius / scale).astype(int)
    labels = np.zeros(shape + 2 * margin, np.int32)
    light, centres = np.zeros(labels.shape, np.float32), []
    for number in range(1, n_nuclei + 1):
        nucleus = _draw_nucleus(radius, scale, rng)
        near = centres if rng.random() < overlap else []
        box = _find_place(nucleus > 0, labels, margin, near, rng)
        if box is not None:
            free = labels[box] == 0
            light[box] += nucleus * (free | (len(shape) == 2))
            labels[box][(nucleus > 0) & free] = number
            centres.append([(s.start + s.stop) / 2 for s in box])
    behind = _draw_haze(light, n_nuclei, radius, scale, rng)
    field = tuple(slice(m, -m) for m in margin)
    light = (gaussian_filter(light, blur) + HAZE * behind)[field]
    expected = photons * (light + 0.05) * _illuminate(shape, rng)
    image = degrade(expected, rng, read_noise=noise_sigma, offset=OFFSET, gain=gain)
    clean = (gain * expected + OFFSET).astype(np.float32)
    smallest = MIN_PART * 3 * radius ** len(shape) / scale[0]  # pixels; 3 is near pi and 4 pi / 3
    return image, clean, _keep_whole(labels[field], smallest)


def _check_arguments(shape, overlap, noise_sigma):
    if len(shape) not in (2, 3):
        raise ValueError(f"shape is {shape}: give (y, x) or (z, y, x)")
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap is {overlap}: give a probability from 0 to 1")
    if not noise_sigma >= 0:
        raise ValueError(f"noise_sigma is {noise_sigma}: give grey levels, 0 or larger")
    return tuple(shape)


def _draw_nucleus(radius, scale, rng):
    """Return the light of one nucleus, 0 outside it, in a box of odd sides."""
    ndim, condensed = len(scale), rng.random() < 0.05
    radius = radius * rng.lognormal(0, 0.17) * (0.75 if condensed else 1)
    aspect = rng.uniform(1, 1.9) ** np.linspace(-0.5, 0.5, ndim)
    half = np.ceil(1.7 * radius / scale).astype(int) + 2
    grid = np.moveaxis(np.indices(2 * half + 1), 0, -1) - half
    position = (grid * scale) @ np.linalg.qr(rng.normal(size=(ndim, ndim)))[0] / (radius * aspect)
    if rng.random() < 0.2:  # a kidney: bent along its long axis
        position[..., 0] += rng.uniform(0.2, 0.5) * (position[..., -1] ** 2 - 0.4)
    distance = _measure_depth(position, rng)
    # light of a sheet of adherent cells: thinner to the border; in a stack, full to the border
    profile = np.clip(1 - distance**2, 0, None) ** (0.3 if ndim == 2 else 0.1)
    brightness = rng.lognormal(0, 0.42) * (2.5 if condensed else 1)
    return brightness * profile * _draw_chromatin(position, radius, scale, rng)


def _measure_depth(position, rng):
    """Return the distance from the centre, 1 on the outline of a body of irregular shape."""
    ndim = position.shape[-1]
    distance = np.linalg.norm(position, axis=-1)
    direction = position / np.maximum(distance, 1e-6)[..., None]
    waves = direction @ (unit_vectors(3, ndim, rng).T * [2, 3.5, 5]) + rng.uniform(0, 6.3, 3)
    reach = 1 + np.cos(waves) @ [0.06, 0.04, 0.025]
    if rng.random() < 0.12:  # a cleft between two lobes
        gap = np.sum((direction - unit_vectors(1, ndim, rng)) ** 2, axis=-1)
        reach -= rng.uniform(0.15, 0.4) * np.exp(-gap / 0.2)
    return distance / reach


def _draw_chromatin(position, radius, scale, rng):
    """Return the relative density of DNA: coarse and fine texture, up to three nucleoli."""
    shape, ndim = position.shape[:-1], position.shape[-1]
    texture = 1 + 0.10 * smooth_noise(shape, 0.22 * radius / scale, rng)
    texture += rng.uniform(0.05, 0.15) * smooth_noise(shape, 0.09 * radius / scale, rng)
    for centre in unit_vectors(rng.integers(0, 4), ndim, rng) * rng.uniform(0.15, 0.65):
        nearness = np.sum((position - centre) ** 2, -1) / rng.uniform(0.1, 0.2) ** 2
        texture *= 1 - rng.uniform(0.1, 0.4) * np.exp(-0.5 * nearness)
    return np.clip(texture, 0.1, None)


def _find_place(body, labels, margin, centres, rng):
    """Return a box against one of `centres`, or apart without any; None if nothing fits."""
    half = np.array(body.shape) // 2
    halo = body if centres else binary_dilation(body, iterations=2)
    for _ in range(40):  # random places
        if centres:
            start, allowed = centres[rng.integers(len(centres))], rng.uniform(0, MAX_HIDDEN)
            step = unit_vectors(1, body.ndim, rng)[0] * half / half.max()
            steps = range(half.max() // 2, 3 * half.max())
        else:
            start = margin + rng.uniform(0, np.array(labels.shape) - 2 * margin)
            step, steps, allowed = 0, range(1), 0
        for pixels in steps:
            box = _box_at(start + pixels * step, half, labels.shape)
            if box and np.count_nonzero(labels[box][halo]) <= allowed * body.sum():
                return box
    return None


def _box_at(centre, half, shape):
    """Return the box of `half` sides around a point, or None if it leaves the image."""
    low = np.round(centre).astype(int) - half
    high = low + 2 * half + 1
    inside = (low >= 0).all() and (high <= shape).all()
    return tuple(map(slice, low, high)) if inside else None


def _draw_haze(light, n_nuclei, radius, scale, rng):
    """Return the light from outside the focus: a wide halo, in 2D also blurred nuclei."""
    halo = gaussian_filter(light, 1.5 * radius / scale, truncate=3)
    blurred = np.zeros_like(light)
    for _ in range(n_nuclei // 4 if light.ndim == 2 else 0):  # a stack holds its own
        nucleus = _draw_nucleus(radius, scale, rng)
        box = _box_at(rng.uniform(0, light.shape), np.array(nucleus.shape) // 2, light.shape)
        if box:
            blurred[box] += nucleus
    return halo + gaussian_filter(blurred, rng.uniform(0.4, 0.8) * radius)


def _illuminate(shape, rng):
    """Return the light of a lamp that falls from a random centre to the corners."""
    y, x = (np.linspace(0, 1, n) - rng.random() for n in shape[-2:])
    fall = np.add.outer(y**2, x**2)
    return 1 - UNEVEN * fall / fall.max()


def _keep_whole(labels, smallest):
    """Return labels numbered from 1, each cut down to its largest connected piece."""
    whole, n = np.zeros(labels.shape, np.int32), 0
    for number, box in enumerate(find_objects(labels), start=1):
        pieces = label(labels[box] == number)[0] if box else np.zeros(1, int)
        sizes = np.bincount(pieces.ravel(), minlength=2)[1:]
        if sizes.max() >= smallest:
            n += 1
            whole[box][pieces == 1 + sizes.argmax()] = n
    return whole
