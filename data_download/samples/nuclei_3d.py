"""Simulated fluorescent nuclei in stacks with coarse z, for three-dimensional methods."""

import numpy as np

from .nuclei_sim import draw_splits, simulate_nuclei

__all__ = ["nuclei_volumes"]

N_VOLUMES = {"train": 4, "val": 1, "test": 2}
SHAPE = (32, 96, 96)
FACTS = {
    "title": "Simulated fluorescent nuclei in 3D",
    "modality": "confocal fluorescence microscopy, nuclear stain (simulated)",
    "axes": "ZYX",
    "pixel_size_um": [0.5, 0.2, 0.2],
    "licence": "CC0-1.0",
    "source": "simulated by data_download.samples.nuclei_3d",
    "task": "instance",
}


def nuclei_volumes(*, seed=42):
    """Make the sample `nuclei_3d`: 4 training, 1 validation and 2 test stacks of 32x96x96.

    Parameters
    ----------
    seed : int
        Each stack has its own random stream, drawn from this seed.

    Returns
    -------
    dict of str to list of (image, labels)
        Images uint16 ZYX, labels int32 ZYX numbered from 1.

    Notes
    -----
    Voxels of 0.5 x 0.2 x 0.2 µm; 24 to 40 nuclei of 4 to 5 µm, many of them touching; a point
    spread function of 0.6 µm (standard deviation) along z and 0.2 µm in the plane, so that
    nuclei run into each other first along z, as they do in a confocal stack. Few photons:
    15 to 40 in a voxel. `docs/samples.md` compares the stacks with real ones.
    """
    return draw_splits(_draw_volume, N_VOLUMES, seed)


def _draw_volume(rng):
    voxel = np.array(FACTS["pixel_size_um"])
    image, _, labels = simulate_nuclei(
        SHAPE,
        rng.integers(24, 41),
        overlap=rng.uniform(0.3, 0.5),
        photons=rng.uniform(15, 40),
        gain=10,
        radius=11.0,
        anisotropy=voxel[0] / voxel[-1],
        blur=tuple([0.6, 0.2, 0.2] / voxel),
        rng=rng,
    )
    return image, labels
