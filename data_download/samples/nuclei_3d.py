"""Simulated fluorescent nuclei in stacks with coarse z, for three-dimensional methods."""

import numpy as np

from .nuclei_sim import simulate_nuclei

__all__ = ["nuclei_volumes"]

N_VOLUMES = {"train": 4, "val": 1, "test": 2}
SHAPE = (32, 96, 96)
FACTS = {
    "title": "Simulated fluorescent nuclei in 3D",
    "modality": "confocal fluorescence microscopy, nuclear stain (simulated)",
    "axes": "ZYX",
    "pixel_size_um": [0.6, 0.25, 0.25],
    "licence": "CC0-1.0 (made by this package)",
    "source": "data_download.samples.nuclei_3d",
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
    Voxels of 0.6 x 0.25 x 0.25 µm; nuclei of 4 to 5 µm, most of them touching; a point spread
    function of 0.45 µm (standard deviation) along z and 0.25 µm in the plane, so that nuclei
    run into each other first along z, as they do in a confocal stack.
    """
    streams = iter(np.random.default_rng(seed).spawn(sum(N_VOLUMES.values())))
    return {
        split: [_draw_volume(next(streams)) for _ in range(number)]
        for split, number in N_VOLUMES.items()
    }


def _draw_volume(rng):
    voxel = np.array(FACTS["pixel_size_um"])
    nuclei = simulate_nuclei(
        SHAPE,
        int(rng.integers(40, 56)),
        overlap=rng.uniform(0.3, 0.7),
        radius=9.0,
        anisotropy=voxel[0] / voxel[-1],
        photons=rng.uniform(40, 100),
        blur=tuple([0.45, 0.25, 0.25] / voxel),
        seed=rng,
    )
    return nuclei.image, nuclei.labels
