"""The data doctor's table: everything in a data folder that would spoil training or scores."""

from collections import Counter

from helpers.datasets import split_pairs
from helpers.doctor.findings import ERROR, NOTE, WARNING, Finding, make_table
from helpers.doctor.image_checks import check_labelling, examine_pair
from helpers.doctor.scans import check_overlaps
from helpers.doctor.twins import find_twins
from helpers.layouts import find_pairs, read_pair_image

__all__ = ["check_dataset", "require_healthy"]

FEW_IMAGES, FEW_PATCHES = 5, 50


def check_dataset(
    folder, *, task="instance", patch_size=64, channels=1, n_dimensions=None, seed=42, groups=None,
    overlaps=False, max_rows=5,
):  # fmt: skip
    """Return a table of everything in a data folder that would spoil training or scores.

    Parameters
    ----------
    folder : path
        A folder or npz file in one of the layouts of `helpers.layouts.find_pairs`. It is only
        read.
    task : {"instance", "semantic"}
        Whether each object has its own number, or masks only tell object from background.
    patch_size : int or tuple of int
        Side of the patches to be trained on, in pixels; for volumes (z, y, x), or one number
        for y and x.
    channels : int
        Number of channels the method expects: 1 for grey.
    n_dimensions : {2, 3}, optional
        What the method expects: planes or stacks. Default: either.
    seed, groups
        As in `helpers.datasets.load_dataset`, for folders without splits.
    overlaps : bool
        Also look for scans that show the same piece of a sample in two splits, as height maps
        often do. All pairs are registered, which takes time in a large set.
    max_rows : int or None
        Rows for one finding before the other files share a row; None gives each its own.

    Returns
    -------
    pandas.DataFrame
        Columns severity ("error": training fails or its result is wrong; "warning": look at
        it; "note": good to know), file, finding and mend, errors first. Empty if all is well.

    Raises
    ------
    ValueError
        If `task` is unknown. Never because of the data.

    Notes
    -----
    Functions that mends name are in `helpers.doctor.repair` and `helpers.images`. Copies are found
    across splits also after noise, scaling of grey values, turns and flips; partly overlapping
    fields only with `overlaps`, and crops of other scale not at all.
    """
    if task not in ("instance", "semantic"):
        raise ValueError(f"task is {task!r}: give 'instance' or 'semantic'")
    try:
        layout = find_pairs(folder)
    except (ValueError, OSError) as error:
        mend = "arrange the files in a known layout, or correct the path"
        return make_table([Finding(ERROR, str(folder), str(error), mend)], max_rows)
    findings = _check_layout(layout)
    try:
        pairs, note = split_pairs(layout, seed=seed, groups=groups)
    except ValueError as error:
        pairs, note = layout.pairs, ""
        mend = "add images, or add the missing folders"
        finding = str(error).removeprefix(f"{layout.root} ")
        findings.append(Finding(ERROR, layout.root.name, finding, mend))
    if note:
        mend = "nothing; to choose yourself, make folders train, val and test"
        findings.append(Finding(NOTE, layout.root.name, note, mend))
    options = {"task": task, "patch_size": patch_size, "channels": channels}
    records = []
    for split, members in pairs.items():
        for pair in members:
            if pair.mask is not None:
                found, record = examine_pair(pair, split, layout.root, **options)
                findings += found
                records.append(record)
    readable = [record for record in records if record.is_readable]
    findings += check_labelling(readable, task) + _check_set(readable) + _check_amount(readable)
    findings += _check_dimensions(readable, n_dimensions, layout.root.name)
    if overlaps:
        findings += check_overlaps(_read_scans(pairs))
    return make_table(findings + find_twins(readable), max_rows)


def require_healthy(table):
    """Raise one error that lists the errors of a doctor's table, or return the table.

    Parameters
    ----------
    table : pandas.DataFrame
        From `check_dataset`.

    Returns
    -------
    pandas.DataFrame
        The same table, if no row is an error.

    Raises
    ------
    ValueError
        If there are errors; each is named with its file and mend.
    """
    errors = table[table["severity"] == ERROR]
    if len(errors):
        lines = [f"- {row.file}: {row.finding}. Mend: {row.mend}." for row in errors.itertuples()]
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        raise ValueError(
            f"the data have {count} that must be mended before training:\n" + "\n".join(lines)
        )
    return table


def _read_scans(pairs):
    scans = {}
    for split, members in pairs.items():
        names, images = [], []
        for pair in members:
            image, axes = read_pair_image(pair)
            if axes == "YX":
                names.append(pair.name)
                images.append(image)
        scans[split] = (names, images)
    return scans


def _check_layout(layout):
    findings = [
        Finding(ERROR, _relative(problem.path, layout.root), problem.finding, problem.mend)
        for problem in layout.problems
    ]
    mend = "nothing; they may stay"
    findings += [
        Finding(NOTE, _relative(path, layout.root), "hidden or no image file, left out", mend)
        for path in layout.ignored
    ]
    if any(pair.mask is None for pairs in layout.pairs.values() for pair in pairs):
        finding = "holds images but no masks, so nothing can be trained or scored"
        mend = "put masks into a folder masks beside images; for prediction use load_images"
        findings.append(Finding(ERROR, layout.root.name, finding, mend))
    return findings


def _relative(path, root):
    return path.relative_to(root).as_posix() if path != root else root.name


def _check_set(records):
    """Compare what all images should have in common with what most have."""
    spatial = "a data set is either 2D or 3D; move the others to a folder of their own"
    depth = "export all images alike; a percentile Normalizer evens out what is left"
    size = "rescale all images to one pixel size, or keep one data set per pixel size"
    unknown = "write the pixel size into these files too: write_image(..., pixel_size_um=...)"
    known = [record for record in records if record.pixel_size_um]
    without = [record for record in records if known and not record.pixel_size_um]
    findings = _name_outliers(records, lambda r: f"{r.n_spatial}D", "is {}", ERROR, spatial)
    findings += _name_outliers(records, lambda r: r.dtype, "has bit depth {}", WARNING, depth)
    findings += _name_outliers(known, _size_text, "has pixel size {}", WARNING, size)
    findings += [Finding(NOTE, r.file, "states no pixel size, others do", unknown) for r in without]
    return findings


def _check_dimensions(records, n_dimensions, root):
    others = [record for record in records if record.n_spatial != n_dimensions]
    if n_dimensions is None or not others:
        return []
    kinds = {2: "planes (2D)", 3: "stacks (3D)"}
    found, wanted = kinds[others[0].n_spatial], kinds[n_dimensions]
    finding = f"{len(others)} of {len(records)} images are {found}, and {wanted} are expected here"
    mend = "take a method for planes, or images that are stacks"
    if n_dimensions == 2:
        mend = "save the planes as images of their own, or take a method for stacks (05; in parts "
        mend += "of their own 02, 04 and 08)"
    return [Finding(ERROR, root, finding, mend)]


def _size_text(record):
    return " x ".join(f"{um:.3g}" for um in record.pixel_size_um) + " um"


def _name_outliers(records, value_of, text, severity, mend):
    counts = Counter(map(value_of, records))
    if len(counts) < 2:
        return []
    (usual, n), *_ = counts.most_common(1)
    return [
        Finding(
            severity,
            record.file,
            f"{text.format(value_of(record))}, but {n} of {len(records)} images {usual}",
            mend,
        )
        for record in records
        if value_of(record) != usual
    ]


def _check_amount(records):
    findings = []
    for split, n in Counter(record.split for record in records).items():
        patches = sum(record.n_patches for record in records if record.split == split)
        is_train = split in ("train", "all")
        if n >= FEW_IMAGES:
            continue
        if is_train:
            finding = f"too few images to learn from? {n}, with room for {patches} patches"
            mend = "annotate more images, or fine-tune a network trained on similar data"
        else:
            finding = f"too few images for a sound score: {n}"
            mend = "add images from further samples; until then read scores with care"
        is_poor = is_train and patches < FEW_PATCHES
        findings.append(Finding(WARNING if is_poor else NOTE, split, finding, mend))
    if records and all(record.n_labels == 0 for record in records):
        finding = "no mask has any object"
        mend = "check that the masks were exported as label images"
        findings.append(Finding(ERROR, "all masks", finding, mend))
    return findings
