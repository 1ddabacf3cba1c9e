"""From the name of a data set to a folder in the project's layout."""

import difflib
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .convert import assign_splits, write_items
from .fetch import download
from .layouts import find_items
from .manifest import MANIFEST, write_manifest
from .patches import cut_items
from .registry import load_registry
from .unpack import unpack

__all__ = ["data_folder", "fetch_dataset", "find_dataset", "resolve_dataset", "sample_names"]

SPLIT_SEED = 42


def data_folder():
    """Return the folder that holds data sets and samples.

    Returns
    -------
    pathlib.Path
        `MICROSEG_DATA` if set; else `data` in the project: in the nearest folder from the
        current one upwards that has a pyproject.toml, or else in the current folder.
    """
    if os.environ.get("MICROSEG_DATA"):
        return Path(os.environ["MICROSEG_DATA"])
    here = Path.cwd()
    roots = [folder for folder in (here, *here.parents) if (folder / "pyproject.toml").is_file()]
    return (roots[0] if roots else here) / "data"


def sample_names():
    """Return the names of the built-in samples."""
    from .samples import SAMPLES

    return list(SAMPLES)


def find_dataset(name):
    """Return the registry's entry of a data set.

    Parameters
    ----------
    name : str
        Name in the registry.

    Returns
    -------
    DataSet
        The entry.

    Raises
    ------
    ValueError
        If there is none of this name; the message lists all and the closest.
    """
    registry = load_registry()
    if name in sample_names():
        raise ValueError(
            f"{name!r} is a built-in sample, not a data set to fetch: make it with "
            f"python -m data_download sample {name}"
        )
    if name not in registry:
        raise ValueError(unknown_name(name, registry, "data set"))
    return registry[name]


def unknown_name(name, choices, what):
    """Return a message that names the choices and the closest of them."""
    choices = list(choices)
    close = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"{name!r} is no {what}.{hint} Choices: {', '.join(choices)}"


def resolve_dataset(name_or_path, *, seed=42):
    """Return the folder of a sample, a registry data set or the user's own data.

    Parameters
    ----------
    name_or_path : str or path
        The name of a built-in sample (made if it is not there yet), the name of a data set of
        the registry (fetched if it is not there yet), the name of a data set made here (such as
        ``nuclei_noisy_denoised`` by notebook 02), or an existing folder (``~`` is the home
        folder). Names go first: for a folder of the same name write ``./NAME``.
    seed : int
        Seed of a sample; each seed has its own folder.

    Returns
    -------
    pathlib.Path
        The folder; an existing one is returned as it is.

    Raises
    ------
    ValueError
        If it is none of these; the message lists the choices and the closest of them.
    """
    name, samples, registry = str(name_or_path), sample_names(), load_registry()
    if name in samples:
        return _install_sample(name, seed)
    if name in registry:
        folder = data_folder() / name
        return folder if (folder / MANIFEST).exists() else fetch_dataset(name)
    if name == Path(name).name and (data_folder() / name / MANIFEST).is_file():
        return data_folder() / name
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise ValueError(f"{path} is one file: put it into a folder of its own and give that")
    if path != Path(path.name):
        raise ValueError(_missing_folder(path))
    if (Path("..") / path).is_dir():  # notebooks run in notebooks/, folders lie beside that
        raise ValueError(f"{name} is not in {Path.cwd()}, where paths start: write '../{name}'")
    what = "sample, data set or existing folder"
    raise ValueError(unknown_name(name, [*samples, *registry], what))


def _missing_folder(path):
    """Return a message that names the nearest folder that exists, and what it holds."""
    near = next(parent for parent in path.absolute().parents if parent.is_dir())
    held = sorted(p.name for p in near.iterdir() if p.is_dir() and not p.name.startswith("."))
    wanted = path.absolute().relative_to(near).parts[0]
    close = difflib.get_close_matches(wanted, held, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    shown = f"the folders {', '.join(held[:8])}" if held else "no folders"
    return f"the folder {path} does not exist.{hint} {near} holds {shown}"


def _install_sample(name, seed):
    from .samples import make_sample

    folder = data_folder() / "samples" / (name if seed == 42 else f"{name}_seed{seed}")
    if (folder / MANIFEST).exists():
        return folder
    return Path(make_sample(name, folder, seed=seed))


def fetch_dataset(name, to=None, *, seed=SPLIT_SEED, overwrite=False, progress=True, report=print):
    """Download a data set, convert it to the project's layout and return its folder.

    Parameters
    ----------
    name : str
        Name in the registry.
    to : path, optional
        Folder to make; default `data_folder()` / name.
    seed : int
        Seed of splits the source does not have and of noise the entry adds; it is stored.
    overwrite : bool
        Replace the folder if it exists.
    progress : bool
        Show a progress bar while downloading.
    report : callable
        Called with lines of text for the user.

    Returns
    -------
    pathlib.Path
        The folder with `{train,val,test}/{images,masks}/NAME.tif` and `dataset.toml`.

    Raises
    ------
    ValueError
        If the name is not known, the folder exists, or the download has not the expected
        content.
    DownloadError
        If no address delivered a file.

    Notes
    -----
    The data set is built in a hidden folder beside the target and gets its name when it is
    complete. Downloads stay in the cache, unchanged.
    """
    entry = find_dataset(name)
    target = Path(to) if to else data_folder() / name
    with new_folder(target, overwrite=overwrite) as staging:
        got = [(file, *download(file, progress=progress, report=report)) for file in entry.files]
        source = staging.with_name("source")
        for file, path, _ in got:
            report(f"{file.name}: unpacking")
            unpack(path, source / file.name)
        report(f"{name}: converting")
        items = find_items(source, entry.layout, entry.options.get("layout", {}))
        items, drawn = assign_splits(items, seed=seed, **entry.options.get("split", {}))
        items, cut = cut_items(items, entry, seed=seed)
        write_items(items, staging, entry, seed)
        write_manifest(staging, _facts(entry, got, drawn, seed, cut))
    report(f"{name}: ready in {target}")
    return target


@contextmanager
def new_folder(target, *, overwrite=False):
    """Give a hidden folder to fill, which becomes `target` if no error occurs.

    Parameters
    ----------
    target : path
        Folder to make.
    overwrite : bool
        Replace it if it exists and is empty or was made here; the old one goes when the new
        one is complete.

    Yields
    ------
    pathlib.Path
        An empty folder beside the target; its parent may hold other temporary files.

    Raises
    ------
    ValueError
        If the target exists and `overwrite` is False, or it holds files of the user's own.
    """
    target = Path(target)
    if target.exists() and not overwrite:
        raise ValueError(f"{target} exists already: choose another folder, or overwrite it")
    if target.exists() and not _may_be_replaced(target):
        raise ValueError(
            f"{target} is no data set made here, so it is not overwritten: choose another "
            "folder, or remove this one by hand"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        (work / "new").mkdir()
        yield work / "new"
        if target.exists():
            target.rename(work / "old")
        try:
            (work / "new").rename(target)
        except OSError:
            if (work / "old").exists():
                (work / "old").rename(target)
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _may_be_replaced(folder):
    """Return whether a folder is empty or has a manifest with a fingerprint, as made here."""
    if not folder.is_dir() or folder.is_symlink():
        return False
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return not any(folder.iterdir())
    return b"\nfingerprint = " in manifest.read_bytes()


def _facts(entry, got, drawn, seed, cut=None):
    facts = {
        key: getattr(entry, key)
        for key in ("name", "title", "modality", "task", "axes", "pixel_size_um", "licence")
    }
    facts |= {"source": entry.source, "citation": entry.citation, "notes": entry.notes or None}
    facts["seed"] = seed if drawn or "noise" in entry.options else None
    origins = dict.fromkeys(("train", "val", "test"), "source")
    if n := entry.options.get("layout", {}).get("val_slices"):
        origins["val"] = f"last {n} slices of the training volume"
    origins |= dict.fromkeys(drawn, f"drawn with seed {seed}")
    splits = {split: {"from": origin} for split, origin in origins.items()}
    facts["pixel_size_um_by_name"] = entry.options.get("pixel_size_um")
    facts["archives"] = [{"name": f.name, "sha256": sha} for f, _, sha in got]
    cut = cut or {}
    return {**facts, **cut, "splits": splits | cut.get("splits", {})}


def describe(entry):
    """Return the registry's facts on a data set as lines of text."""
    size = entry.pixel_size_um or entry.options.get("pixel_size_um") or "not known"
    lines = [
        f"{entry.name}: {entry.title}",
        f"  modality    {entry.modality}",
        f"  task        {entry.task}, axes {entry.axes}",
        f"  pixel size  {size} (um, in the order of the axes)",
        f"  size        {entry.sizes}",
        f"  licence     {entry.licence}",
        f"  citation    {entry.citation}",
        f"  source      {entry.source}",
    ]
    lines += [f"  notes       {entry.notes}"] if entry.notes else []
    for file in entry.files:
        lines.append(f"  file        {file.folder}/{file.name}")
        lines.append(f"    sha256    {file.sha256 or 'not known: pinned on first download'}")
        lines += [f"    from      {url}" for url in file.urls]
    return "\n".join(lines)
