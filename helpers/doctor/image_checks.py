"""What the data doctor looks for in one image and its mask."""

import math
from collections import Counter
from pathlib import Path

import numpy as np

from helpers.doctor.findings import ERROR, NOTE, WARNING, Finding, Record
from helpers.doctor.repair import find_pieces
from helpers.doctor.twins import hash_pixels, make_thumbnail
from helpers.images import read_image_axes, read_pixel_size
from helpers.layouts import read_pair_image, read_pair_labels

__all__ = ["check_image", "check_labelling", "check_mask", "examine_pair"]

SATURATED_SHARE = 0.01
CAMERA_MAXIMA = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16))
MANY_CLASSES = 10
MANY_PIECES = 5
SPECK_PIXELS = 16
READ_ERRORS = (ValueError, OSError, ImportError)


def examine_pair(pair, split, root, *, task, patch_size, channels):
    """Return the findings in one image and its mask, and a `Record` for comparisons.

    Parameters
    ----------
    pair : helpers.layouts.Pair
        An image with its mask.
    split : str
        train, val or test.
    root : pathlib.Path
        Findings name files as seen from here.
    task, patch_size, channels
        As in `helpers.doctor.check_dataset`.

    Returns
    -------
    list of Finding, Record
    """
    file, mask_file = (_name(source, pair, split, root) for source in (pair.image, pair.mask))
    record = Record(split, file, mask_file)
    findings, labels = _examine_mask(pair, record, task)
    try:
        image, axes = read_pair_image(pair)
        size = read_pixel_size(pair.image) if isinstance(pair.image, Path) else None
    except READ_ERRORS as error:
        return [*findings, _unreadable(error, file)], record
    shape = image.shape[: len(axes.removesuffix("C"))]
    findings += check_image(image, axes, file, channels)
    findings += _check_shapes(shape, labels, file, patch_size)
    sides = zip(shape, _patch_shape(shape, patch_size), strict=True)
    record.is_readable, record.dtype, record.pixel_size_um = True, image.dtype.name, size
    record.n_spatial, record.n_patches = len(shape), math.prod(n // p for n, p in sides)
    record.image_hash, record.thumbnail = hash_pixels(image), make_thumbnail(image, axes)
    return findings, record


def _name(source, pair, split, root):
    if isinstance(source, tuple):
        source = source[0].parent
    if not isinstance(source, Path):
        return f"{root.name}: {pair.name}"
    return source.relative_to(root).as_posix()


def _unreadable(error, file):
    finding, _, mend = str(error).rpartition("; ")
    return Finding(ERROR, file, finding or mend, mend if finding else "export or copy it again")


def check_image(image, axes, file, channels=1):
    """Return the findings in the grey values and channels of one image.

    Parameters
    ----------
    image : ndarray
        Axes as `axes` says, such as ``"YX"``.
    axes, file : str
        File is what findings name.
    channels : int
        Number of channels expected.
    """
    finite = np.isfinite(image) if image.dtype.kind == "f" else np.True_
    findings = []
    if not finite.all():
        finding = f"{np.count_nonzero(~finite)} pixels are NaN or infinite"
        mend = "np.nan_to_num(image, nan=np.nanmedian(image)), or crop them away"
        findings.append(Finding(ERROR, file, finding, mend))
    values = image if finite.all() else image[finite]
    top = values.max(initial=0)
    if not values.size or values.min() == top:
        finding = f"all pixels are {values[:1].ravel()[0] if values.size else 'NaN'}: no picture"
        mend = "remove the image and its mask, or export it again"
        return [*findings, Finding(WARNING, file, finding, mend)]
    share = np.count_nonzero(values == top) / values.size
    if image.dtype.kind in "iu" and top in CAMERA_MAXIMA and share > SATURATED_SHARE:
        finding = f"{share:.0%} of the pixels are saturated (value {top})"
        mend = "expose less or export without contrast stretch; what was cut off is lost"
        findings.append(Finding(WARNING, file, finding, mend))
    return findings + _check_channels(image, axes, file, channels)


def _check_channels(image, axes, file, channels):
    if axes.startswith("T"):
        mend = "save each time point as an image, all of a series in one split"
        return [Finding(ERROR, file, f"is a time series of {len(image)} images", mend)]
    found = image.shape[-1] if axes.endswith("C") else 1
    if found == channels:
        return []
    if found == 1:
        mend = f"give images with {channels} channels, or set channels=1"
        return [Finding(ERROR, file, "is grey where colour is expected", mend)]
    if (image == image[..., :1]).all():
        mend = "keep one channel: image[..., 0]"
        return [Finding(ERROR, file, f"is grey, saved as {found} equal colour channels", mend)]
    expected = "grey is" if channels == 1 else f"{channels} are"
    mend = "keep the channel with the objects, image[..., 0] for the first, or image.mean(-1)"
    return [Finding(ERROR, file, f"has {found} colour channels where {expected} expected", mend)]


def _patch_shape(shape, patch_size):
    sides = np.atleast_1d(patch_size).tolist()
    sides = sides * 2 if len(sides) == 1 else sides
    return [1] * (len(shape) - len(sides)) + sides[-len(shape) :]


def _check_shapes(shape, labels, file, patch_size):
    findings = []
    if labels is not None and labels.shape != shape:
        finding = f"image has shape {shape}, its mask {labels.shape}"
        turned = labels.shape == shape[::-1]
        mend = "turn the mask: labels.T" if turned else "export the mask again at the image's size"
        findings.append(Finding(ERROR, file, finding, mend))
    patch = _patch_shape(shape, patch_size)
    if any(n < p for n, p in zip(shape, patch, strict=True)):
        sides = [" x ".join(map(str, lengths)) for lengths in (shape, patch)]
        finding = f"image of {sides[0]} is smaller than the patch ({sides[1]})"
        mend = "choose a smaller patch, or leave the image out"
        findings.append(Finding(ERROR, file, finding, mend))
    return findings


def _examine_mask(pair, record, task):
    """Return findings and int32 labels (None if there are none), and measure into `record`."""
    file = record.mask_file
    try:
        if isinstance(pair.mask, Path):
            raw, axes = read_image_axes(pair.mask)
        else:
            raw = pair.mask if isinstance(pair.mask, np.ndarray) else read_pair_labels(pair)
            axes = "ZYX"[-raw.ndim :]
        findings = check_mask(raw, axes, file)
        labels = None if any(f.severity == ERROR for f in findings) else read_pair_labels(pair)
    except READ_ERRORS as error:
        return [_unreadable(error, file)], None
    if labels is None:
        return findings, None
    pieces, label_of, size_of = find_pieces(labels)
    counts = Counter(label_of[1:].tolist())
    record.n_labels, record.max_label = len(counts), max(counts, default=0)
    if _is_grey_picture(label_of[1:], size_of[1:]):
        finding = f"{len(counts)} values scattered over {len(size_of) - 1} specks: no label image"
        mend = (
            "export the mask again as TIFF or PNG, without smoothing, JPEG or resizing; if values "
            "are only dark and bright: labels_from_mask(mask > 127)"
        )
        return [*findings, Finding(ERROR, file, finding, mend)], labels
    record.pieces = {
        value: sorted(size_of[1:][label_of[1:] == value].tolist(), reverse=True)
        for value, n in counts.items()
        if n > 1
    }
    record.mask_hash = hash_pixels(labels) if counts and not labels.all() else ""
    return findings + _check_numbers(record, raw.dtype, task), labels


def check_mask(mask, axes, file):
    """Return why a mask, as read from its file, is no label image.

    Parameters
    ----------
    mask : ndarray
        Axes as `axes` says, such as ``"YX"``.
    axes, file : str
        File is what findings name.
    """
    if file.lower().endswith((".jpg", ".jpeg")):
        finding = "mask is a JPEG, which blurs edges and changes numbers"
        mend = (
            "export it again as TIFF or PNG; if it has one value for all objects: "
            "labels_from_mask(read_image(path) > 127)"
        )
        return [Finding(ERROR, file, finding, mend)]
    if axes.endswith("C") and not (mask == mask[..., :1]).all():
        finding = (
            f"mask has {mask.shape[-1]} colour channels, where one number per object is needed"
        )
        return [Finding(ERROR, file, finding, "labels_from_colours(mask), or export label images")]
    if mask.dtype.kind == "f":
        return _check_float_mask(mask, file)
    if mask.dtype.kind == "i" and mask.min(initial=0) < 0:
        finding = f"mask has negative numbers, the lowest {mask.min()}"
        mend = "np.maximum(mask, 0), if they mean background; they may also be numbers above 32767"
        return [Finding(ERROR, file, finding, mend)]
    return []


def _check_float_mask(mask, file):
    finite = np.isfinite(mask)
    odd = ~finite | (np.where(finite, mask, 0.5) % 1 != 0)
    if odd.any():
        finding = f"mask is {mask.dtype} and {odd.mean():.1%} of it are fractions or NaN"
        mend = "threshold a probability map: labels_from_mask(mask > 0.5); otherwise export again"
        return [Finding(ERROR, file, finding, mend)]
    if mask.min(initial=0) < 0:
        return check_mask(mask.astype(np.int64), "", file)
    finding = f"mask holds whole numbers as {mask.dtype}"
    mend = "nothing, it is read correctly; write_labels(path, fix_labels(mask)) saves space"
    return [Finding(WARNING, file, finding, mend)]


def _is_grey_picture(label_of, size_of):
    """Return whether values come in specks, as noise or JPEG artefacts do."""
    largest = np.zeros(label_of.max(initial=0) + 1, int)
    np.maximum.at(largest, label_of, size_of)
    largest = largest[largest > 0]
    return (
        len(largest) > MANY_CLASSES
        and len(size_of) > 2 * len(largest)
        and np.median(largest) <= SPECK_PIXELS
    )


def _check_numbers(record, dtype, task):
    n, top, file = record.n_labels, record.max_label, record.mask_file
    if not n:
        mend = "check that nothing is there to be marked; if so, it is fine"
        return [Finding(WARNING, file, "mask is empty: no object", mend)]
    if task == "semantic":
        if n <= MANY_CLASSES:
            return []
        mend = "for object and background alone: mask > 0; or check with task='instance'"
        return [Finding(WARNING, file, f"mask has {n} values, as if each object had its own", mend)]
    if dtype.kind == "u" and top == np.iinfo(dtype).max and n > 0.9 * top:
        finding = (
            f"uses all numbers of {8 * dtype.itemsize} bit: further objects are lost or share one"
        )
        mend = "export again with 16 or 32 bit; write_labels chooses by itself"
        return [Finding(ERROR, file, finding, mend)]
    if n > 1 and top > n:
        mend = "nothing, it does no harm; relabel(labels) closes the gaps"
        return [
            Finding(NOTE, file, f"{n} labels, the highest is {top}: numbers are left out", mend)
        ]
    return []


def check_labelling(records, task):
    """Return findings on masks without a number per object, and on labels in several pieces.

    Parameters
    ----------
    records : list of Record
        All pairs of the data set: one mask with one value can be one object, many cannot.
    task : {"instance", "semantic"}
        For semantic masks there is nothing to find.
    """
    if task == "semantic":
        return []
    filled = [record for record in records if record.n_labels]
    is_binary_set = sum(record.n_labels == 1 for record in filled) > len(filled) / 2
    findings = []
    for record in filled:
        n = sum(map(len, record.pieces.values()))
        if not n:
            continue
        odd = is_binary_set or record.max_label == 255 or n >= MANY_PIECES
        check = _describe_binary if record.n_labels == 1 and odd else _describe_pieces
        findings.append(check(record, n))
    return findings


def _describe_binary(record, n):
    finding = f"one value ({record.max_label}) for {n} separate pieces: objects have no numbers"
    mend = "number the connected pieces: labels_from_mask(mask), and look whether objects touch"
    return Finding(ERROR, record.mask_file, finding, mend)


def _describe_pieces(record, _):
    value, sizes = max(record.pieces.items(), key=lambda item: item[1][1])
    finding = (
        f"labels in several pieces: {len(record.pieces)} of {record.n_labels}, such as label "
        f"{value} with {' + '.join(map(str, sizes[:4]))}{' + ...' * (len(sizes) > 4)} pixels"
    )
    mend = "split_pieces(labels) gives each its own number; keep='largest' drops splinters"
    return Finding(WARNING, record.mask_file, finding, mend)
