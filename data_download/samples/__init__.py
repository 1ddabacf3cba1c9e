"""Built-in samples: data sets made or installed in seconds, without network.

A sample is a module with `FACTS` for the manifest (`FACTS_OF` where it makes a variant, too) and
a function that takes a seed and returns ``{split: [(image, mask), ...]}``; it is entered in
`SAMPLES`. Where the image is a noisy one, the clean one can follow as a third:
``(image, mask, clean)``.
"""

from importlib import import_module
from pathlib import Path

__all__ = ["SAMPLES", "make_sample"]

# name: (module, function, description); a module is loaded when its sample is made
SAMPLES = {
    "nuclei": ("nuclei", "nuclei_regions", "real fluorescent nuclei, one image cut in five"),
    "nuclei_sim": ("nuclei_sim", "nuclei_images", "simulated crowded nuclei, 2D"),
    "nuclei_noisy": ("nuclei_noisy", "noisy_nuclei", "simulated nuclei under strong noise"),
    "nuclei_noisy_half": ("nuclei_noisy", "less_noisy_nuclei", "the same under half the noise"),
    "nuclei_3d": ("nuclei_3d", "nuclei_volumes", "simulated nuclei in 3D, anisotropic voxels"),
    "worms_sim": ("worms_sim", "worms_images", "simulated worms, long, bent and touching"),
    "em_sim": ("em_sim", "em_volumes", "simulated FIB-SEM volume with mitochondria"),
    "afm_sim": ("afm_sim", "afm_maps", "simulated AFM height maps of cells with processes"),
}


def make_sample(name, to, *, seed=42, overwrite=False):
    """Make one built-in sample as a data folder.

    Parameters
    ----------
    name : str
        One of `SAMPLES`.
    to : path
        The folder to make: `to/{train,val,test}/{images,masks}/NAME.tif` and `dataset.toml`;
        for a noisy sample also `clean` beside `images`.
    seed : int
        Seed of a simulated sample; the real sample `nuclei` is the same for every seed.
    overwrite : bool
        Replace an existing folder.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    ValueError
        If there is no sample of this name, or the folder exists already.
    """
    from helpers.images import write_image, write_labels

    from ..datasets import new_folder
    from ..manifest import write_manifest

    if name not in SAMPLES:
        raise ValueError(f"name is {name!r}: the built-in samples are {', '.join(SAMPLES)}")
    module_name, function, _ = SAMPLES[name]
    module = import_module(f".{module_name}", __name__)
    facts = getattr(module, "FACTS_OF", {}).get(name, module.FACTS)
    size = facts.get("pixel_size_um")
    with new_folder(to, overwrite=overwrite) as folder:
        for split, pairs in getattr(module, function)(seed=seed).items():
            for number, (image, mask, *clean) in enumerate(pairs):
                file = f"{name}_{split}_{number:02d}.tif"
                write_image(folder / split / "images" / file, image, pixel_size_um=size)
                write_labels(folder / split / "masks" / file, mask, pixel_size_um=size)
                for reference in clean:
                    write_image(folder / split / "clean" / file, reference, pixel_size_um=size)
        write_manifest(folder, {"name": name, "seed": seed, **facts})
    return Path(to)
