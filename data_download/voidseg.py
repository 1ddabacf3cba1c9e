"""The patches of VoidSeg, cut again from the original images or from a folder of one's own.

Random patches of each training image, Gaussian noise drawn once for each patch, and two rules
for the validation set: as published (over patches) or by image, without leakage.
"""

from dataclasses import replace
from math import isfinite
from pathlib import Path

from .convert import write_items
from .layouts import Item
from .manifest import fingerprint, read_manifest, write_manifest
from .patches import RULES, VAL_SHARE, cut_items, find_shared_sources

__all__ = ["build_patches", "find_shared_sources", "voidseg_entries"]

CITATION = "patches and noise: Prakash et al., ISBI 2020, arXiv:1911.12239"

# Where the patches come from: noise levels, patches of each image, splits that are cut, and
# how many images are drawn for splits that the source does not have.
SETS = {
    "dsb2018": ((0, 10, 20, 40), 10, ["train", "val"], {"val": VAL_SHARE}),
    "bbbc004": ((0, 150, 200), 55, ["train", "val", "test"], {"test": 4, "val": 2}),
    "nuclei_sim": ((0, 150, 200, 600), 10, ["train", "val"], {}),
}
SIZES = {
    "dsb2018": "3800 training and 670 validation patches of 128x128, 50 test images",
    "bbbc004": {
        "published": "748 training, 132 validation and 220 test patches of 128x128",
        "by_image": "770 training, 110 validation and 220 test patches of 128x128",
    },
    "nuclei_sim": {
        "published": "170 training and 30 validation patches of 128x128, 8 test images",
        "by_image": "160 training and 40 validation patches of 128x128, 8 test images",
    },
}
SAMPLE_FACTS = {
    "title": "Simulated nuclei (sample nuclei_sim)",
    "modality": "wide-field fluorescence microscopy, nuclear stain (simulated)",
    "task": "instance",
    "axes": "YX",
    "licence": "CC0-1.0",
    "citation": CITATION,
    "source": "simulated by data_download.samples.nuclei_sim",
    "layout": "sample",
    "files": [],
    "pixel_size_um": [0.5, 0.5],
}


def voidseg_entries(entries):
    """Return the registry's entries of the VoidSeg patches, made from those of the images.

    Parameters
    ----------
    entries : dict of str to DataSet
        The registry; `dsb2018` and `bbbc004` count, if they are in it.

    Returns
    -------
    dict of str to DataSet
        By name: SOURCE_voidseg_nSIGMA_RULE for each noise level and each of `RULES`.
    """
    from .registry import DataSet

    sample = DataSet(
        name="nuclei_sim", sizes="", options={"layout": {"name": "nuclei_sim"}}, **SAMPLE_FACTS
    )
    bases = {**entries, sample.name: sample}
    made = [
        _make_entry(bases[base], sigma, rule)
        for base, (sigmas, *_) in SETS.items()
        if base in bases
        for rule in RULES
        for sigma in sigmas
    ]
    return {entry.name: entry for entry in made}


def _make_entry(base, sigma, rule):
    _, n_per_image, splits, drawn = SETS[base.name]
    sizes = SIZES[base.name]
    is_cited = base.citation == CITATION
    split = "split as published" if rule == "published" else "split by image"
    options = {
        **base.options,
        "split": drawn,
        "patches": {"rule": rule, "n_per_image": n_per_image, "splits": splits},
    }
    if sigma:
        options["noise"] = {"sigma": sigma, "splits": ["train", "val", "test"]}
    return replace(
        base,
        name=f"{base.name}_voidseg_n{sigma}_{rule}",
        title=f"{base.title.split(':')[0]}: patches as in VoidSeg, noise sigma {sigma}, {split}",
        citation=base.citation if is_cited else f"{base.citation}; {CITATION}",
        sizes=sizes if isinstance(sizes, str) else sizes[rule],
        notes=f"Cut here: {RULES[rule]}. dataset.toml names the source of every patch.",
        options=options,
    )


def build_patches(
    source,
    to=None,
    *,
    noise,
    rule="by_image",
    size=128,
    n_per_image=10,
    cut_test=False,
    skip_small=False,
    seed=42,
    overwrite=False,
):
    """Cut patches with noise from a data folder, as VoidSeg did from DSB 2018.

    Parameters
    ----------
    source : str or path
        A data folder with images and masks in any layout of `helpers.layouts.find_pairs`, or
        a name that `resolve_dataset` knows. Grey images of two dimensions. It is only read.
        Splits it does not have are drawn from whole images.
    to : path, optional
        Folder to make; default `data_folder()` / SOURCE_voidseg_nNOISE_RULE.
    noise : float
        Standard deviation of the noise in grey levels; 0 leaves the images as they are.
    rule : {"by_image", "published"}
        Whether validation patches come from images of their own, or are drawn over the patches
        of training and validation images together.
    size, n_per_image : int
        Side of the patches in pixels, and how many are cut from each image.
    cut_test : bool
        Cut the test images too; by default they stay whole.
    skip_small : bool
        Leave images out that are smaller than a patch; by default they are an error.
    seed : int
        Seed of the noise and of all splits that are drawn.
    overwrite : bool
        Replace the folder if it was made here.

    Returns
    -------
    pathlib.Path
        The folder, with `dataset.toml`; see `cut_items` for what that says.

    Raises
    ------
    ValueError
        If the source lacks masks, does not fit, or holds images smaller than a patch, or the
        target exists.
    """
    from .datasets import data_folder, new_folder, resolve_dataset
    from .registry import DataSet

    if not (isfinite(noise) and noise >= 0):
        raise ValueError(f"noise is {noise}: give a number of grey levels, 0 or larger")
    root = Path(resolve_dataset(source))
    items, facts = _find_local(root, seed)
    name = f"{root.resolve().name}_voidseg_n{noise:g}_{rule}"
    splits = ["train", "val", "test"]
    patches = {"rule": rule, "size": size, "n_per_image": n_per_image, "skip_small": skip_small}
    options = {"patches": {**patches, "splits": splits if cut_test else splits[:2]}}
    if noise:
        options["noise"] = {"sigma": noise, "splits": splits}
    if facts["task"] == "semantic":
        options["pair"] = {"masks": "semantic"}
    known = {key: facts[key] for key in ("title", "modality", "task", "axes", "licence", "source")}
    entry = DataSet(
        **known,
        name=name,
        citation=facts["citation"],
        sizes="",
        layout="",
        files=[],
        pixel_size_um=facts["pixel_size_um"],
        options=options,
    )
    target = Path(to) if to else data_folder() / name
    with new_folder(target, overwrite=overwrite) as staging:
        items, more = cut_items(items, entry, seed=seed)
        write_items(items, staging, entry, seed)
        more["splits"] = facts.pop("splits") | more.get("splits", {})
        write_manifest(staging, {"name": name, **facts, **more})
    return target


def _find_local(root, seed):
    """Return the items of a data folder and the facts known of them."""
    from helpers.datasets import common_pixel_size, manifest_pixel_size, split_pairs
    from helpers.layouts import find_pairs, read_pair_image, read_pair_labels

    layout = find_pairs(root)
    lonely = [pair for pairs in layout.pairs.values() for pair in pairs if pair.mask is None]
    if layout.problems or lonely:
        raise ValueError(
            f"{root}: {len(layout.problems) + len(lonely)} images lack a mask or masks an image; "
            "add or remove them. check_dataset(folder) lists all"
        )
    pairs, _ = split_pairs(layout, seed=seed, require=("train", "val"))
    items = [
        Item(split, pair.name, lambda p=pair: (read_pair_image(p)[0], read_pair_labels(p)))
        for split, members in sorted(pairs.items())
        for pair in sorted(members, key=lambda pair: pair.name)
    ]
    manifest = read_manifest(root) if (root / "dataset.toml").is_file() else {}
    size = common_pixel_size([p for ps in pairs.values() for p in ps]) or manifest_pixel_size(root)
    origin = {True: "source", False: f"images drawn with seed {seed}"}
    defaults = {"title": root.resolve().name, "task": "instance", "citation": CITATION}
    defaults |= dict.fromkeys(("modality", "licence", "source"), "not stated")
    facts = {key: manifest.get(key) or value for key, value in defaults.items()}
    facts |= {"axes": "YX", "pixel_size_um": list(size) if size else None}
    facts["splits"] = {split: {"from": origin[split in layout.pairs]} for split in pairs}
    facts["source_fingerprint"] = fingerprint(root)
    return items, facts
