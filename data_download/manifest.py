"""The small file `dataset.toml` that goes with a data folder, and the check against it."""

import hashlib
import json
import re
import tomllib
from pathlib import Path

__all__ = ["MANIFEST", "fingerprint", "read_manifest", "verify_dataset", "write_manifest"]

MANIFEST = "dataset.toml"
SPLITS = ("train", "val", "test")
REQUIRED = ("title", "modality", "axes", "licence", "source")


def sha256_of(path):
    """Return the sha256 of a file as hexadecimal text."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(folder):
    """Return one sha256 for all files of a folder, whatever folder it lies in.

    Parameters
    ----------
    folder : path
        A data folder.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.

    Notes
    -----
    sha256 over the lines "sha256-of-file, two spaces, relative name, newline" sorted by name
    (the output of ``sha256sum``). Left out are hidden files and `dataset.toml` itself, which
    stores this value.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: give the folder of a data set")
    names = {path.relative_to(folder).as_posix(): path for path in visible_files(folder)}
    total = hashlib.sha256()
    for name in sorted(names.keys() - {MANIFEST}):
        total.update(f"{sha256_of(names[name])}  {name}\n".encode())
    return total.hexdigest()


def visible_files(folder):
    """Return all files below a folder, sorted, but none whose path has a hidden part."""
    return sorted(
        path
        for path in Path(folder).rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def write_manifest(folder, facts, *, overwrite=False):
    """Write `dataset.toml` into a finished data folder and return its path.

    Parameters
    ----------
    folder : path
        Holds `train`, `val`, `test` (those that exist), each with `images` and `masks`.
    facts : dict
        At least title, modality, axes, licence and source; values are text, numbers, lists of
        these, or dicts of these. None is left out.
    overwrite : bool
        Replace an existing manifest.

    Returns
    -------
    pathlib.Path
        The manifest. Added to `facts`: the number of images of each split (`splits`) and the
        `fingerprint` of the folder.

    Raises
    ------
    ValueError
        If a required fact is missing or the manifest exists already.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    missing = [key for key in REQUIRED if not facts.get(key)]
    if missing:
        raise ValueError(f"facts lacks {', '.join(missing)}: {MANIFEST} needs {REQUIRED}")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists already: give overwrite=True to replace it")
    counts = {split: len(images_of(folder, split)) for split in SPLITS}
    splits = {split: n for split, n in counts.items() if n}
    given = facts.get("splits", {})
    facts = {
        **facts,
        "fingerprint": fingerprint(folder),
        "splits": {split: {**given.get(split, {}), "n": n} for split, n in splits.items()},
    }
    path.write_text(format_toml(facts), encoding="utf-8", newline="\n")
    return path


def images_of(folder, split):
    """Return the image files of one split, sorted by name; an empty list if there are none."""
    return visible_files(Path(folder) / split / "images")


def format_toml(facts, table=""):
    """Return a dict as TOML text; `table` is the dotted name of the table it is, if any."""
    # JSON's text, numbers, booleans and lists are valid TOML; its null and objects are not.
    lines, tables = [], []
    for key, value in facts.items():
        key = key if re.fullmatch(r"[\w-]+", key, re.ASCII) else json.dumps(key)
        if isinstance(value, dict):
            tables.append(f"\n[{table}{key}]\n{format_toml(value, f'{table}{key}.')}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            tables += [f"\n[[{table}{key}]]\n{format_toml(item)}" for item in value]
        elif value is not None:
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}\n")
    return "".join(lines + tables)


def read_manifest(folder):
    """Return the content of a folder's `dataset.toml` as a dict.

    Parameters
    ----------
    folder : path
        A fetched data set or a built-in sample.

    Returns
    -------
    dict
        The facts, as written by `write_manifest`.

    Raises
    ------
    FileNotFoundError
        If the folder has no `dataset.toml`.
    ValueError
        If the file is not valid TOML.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} has no {MANIFEST}: it is no fetched data set or sample of this project"
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({error}): fetch the data set again") from error


def verify_dataset(folder):
    """Return everything in a data folder that differs from its manifest, in plain words.

    Parameters
    ----------
    folder : path
        A fetched data set or a built-in sample, with `dataset.toml`.

    Returns
    -------
    list of str
        One sentence per finding; empty if all is well. Checked are the number of images of
        each split, that each image has a mask and the reverse, that every file can be read,
        that image and mask have the same shape and the axes of the manifest, that masks hold
        integers, and the fingerprint.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_manifest`.
    """
    folder = Path(folder)
    facts = read_manifest(folder)
    splits = facts.get("splits", {})
    findings = [] if splits else [f"{MANIFEST} names no split"]
    for split in SPLITS:
        expected = splits.get(split, {}).get("n", 0)
        found = images_of(folder, split)
        if len(found) != expected:
            findings.append(f"{split}: {len(found)} images, {MANIFEST} says {expected}")
        findings += _check_pairs(folder / split, found, facts.get("axes", "YX"))
    if fingerprint(folder) != facts.get("fingerprint"):
        findings.append(
            f"files were changed, added or removed: the fingerprint is not that of {MANIFEST}"
        )
    return findings


def _check_pairs(split_folder, image_paths, axes):
    split = split_folder.name
    images = {path.name: path for path in image_paths}
    masks = {path.name: path for path in visible_files(split_folder / "masks")}
    findings = [f"{split}/images/{name} has no mask" for name in sorted(images.keys() - masks)]
    findings += [f"{split}/masks/{name} has no image" for name in sorted(masks.keys() - images)]
    for name in sorted(images.keys() & masks):
        findings += [f"{split}/{what}" for what in _check_pair(images[name], masks[name], axes)]
    return findings


def _check_pair(image_path, mask_path, axes):
    from helpers.images import read_image

    name, arrays = image_path.name, []
    for path in (image_path, mask_path):
        try:
            arrays.append(read_image(path))
        except Exception as error:  # any reader's error means: this file cannot be read
            return [f"{path.parent.name}/{name} cannot be read: {error}"]
    image, mask = arrays
    findings = []
    if image.ndim != len(axes):
        findings.append(f"images/{name} has shape {image.shape}, which is not {axes}")
    if mask.shape != image.shape[: len(axes.replace("C", ""))]:
        findings.append(f"masks/{name} has shape {mask.shape}, its image {image.shape}")
    if mask.dtype.kind not in "iub":
        findings.append(f"masks/{name} holds {mask.dtype}, not integers")
    return findings
