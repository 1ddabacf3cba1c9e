"""The same image in two splits: exact copies by their pixels, near copies by small pictures."""

import hashlib

import numpy as np
from scipy import ndimage as ndi

from helpers.doctor.findings import ERROR, NOTE, WARNING, Finding
from helpers.splits import SPLITS

__all__ = ["find_twins", "hash_pixels", "make_thumbnail"]

SIDE = 64
MIN_CORRELATION = 0.8
MIN_OTHERS = 5
MEND = "keep each image in one split; move or remove one of the two"
MEND_SIMILAR = (
    "look at both; copies, neighbours in a stack or time series, and fields of one sample belong "
    "into one split (groups= in load_dataset)"
)


def hash_pixels(image):
    """Return a text that is the same for arrays of equal shape and values, whatever dtype."""
    image = np.asarray(image)
    if image.dtype.kind != "f":
        image = image.astype(np.int64)
    content = repr(image.shape).encode() + np.ascontiguousarray(image, image.dtype).tobytes()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def make_thumbnail(image, axes):
    """Return a small picture of an image for comparisons.

    Parameters
    ----------
    image : ndarray
        Axes as `axes` says; channels and z are averaged.

    Returns
    -------
    ndarray of float32
        64 x 64 means of areas, less the local mean (Gaussian, sigma 3), which takes uneven
        illumination out; mean 0, length 1. All 0 for a constant image.
    """
    image = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
    image = image.mean(tuple(i for i, axis in enumerate(axes) if axis not in "YX"))
    for axis in (0, 1):
        image = _average(image, axis)
    image -= ndi.gaussian_filter(image, 3, mode="nearest")
    image -= image.mean()
    length = np.linalg.norm(image)
    return image / length if length > 1e-6 else np.zeros_like(image)


def _average(image, axis):
    n = image.shape[axis]
    starts = np.linspace(0, n, SIDE, endpoint=False).astype(int)
    widths = np.maximum(np.diff(starts, append=n), 1)
    sums = np.add.reduceat(image, starts, axis)
    return sums / np.expand_dims(widths, 1 - axis).astype(np.float32)


def find_twins(records):
    """Return findings on images that occur twice, above all in two splits.

    Parameters
    ----------
    records : list of helpers.doctor.findings.Record
        All readable pairs.

    Returns
    -------
    list of Finding
        Exact copies and equal masks in two splits are errors, similar images in two splits
        warnings, copies within a split notes.

    Notes
    -----
    Similarity is the correlation of thumbnails in all eight turns and flips. The limit is 0.8,
    or higher where the images of a set resemble each other anyway: a quarter of the way from 1
    to the median of the image's correlations. On real data, copies with rescaled grey values
    and added noise of 10 % had 0.93 and more, different images 0.64 and less, neighbouring
    slices of a stack up to 0.99.
    """
    findings = _find_copies(records)
    known = {finding.file for finding in findings}
    for i, later in enumerate(SPLITS):
        earlier = [record for record in records if record.split in SPLITS[:i]]
        members = [record for record in records if record.split == later]
        if earlier and members:
            findings += [f for f in _find_similar(members, earlier) if f.file not in known]
    return findings


def _find_copies(records):
    findings = {}
    for first, twin in _equal_pairs(records, "image_hash"):
        text = f"is the same image as {first.file}, pixel by pixel"
        severity = ERROR if first.split != twin.split else NOTE
        findings[twin.file] = Finding(severity, twin.file, text, MEND)
    for first, twin in _equal_pairs(records, "mask_hash"):
        if first.split != twin.split and twin.file not in findings:
            text = f"has the same mask as {first.file}: one image, perhaps with other noise"
            findings[twin.file] = Finding(ERROR, twin.file, text, MEND)
    return list(findings.values())


def _equal_pairs(records, key):
    """Yield each record with an earlier equal one, if possible of another split."""
    seen = {}
    for record in records:
        same = seen.setdefault(getattr(record, key), [])
        if same and getattr(record, key):
            yield next((r for r in same if r.split != record.split), same[0]), record
        same.append(record)


def _find_similar(members, earlier):
    pictures = np.stack([record.thumbnail for record in members])
    others = np.stack([record.thumbnail.ravel() for record in earlier]).T
    turned = [np.rot90(p, k, (1, 2)) for p in (pictures, pictures.mT) for k in range(4)]
    rows = [picture.reshape(len(members), -1) @ others for picture in turned]
    best = np.max(rows, axis=0)
    usual = np.median(rows[0], axis=1) if len(earlier) >= MIN_OTHERS else np.zeros(len(members))
    limits = np.maximum(MIN_CORRELATION, 0.75 + 0.25 * usual)
    for record, row, limit in zip(members, best, limits, strict=True):
        if row.max() > limit:
            twin = earlier[row.argmax()].file
            text = f"shows almost the same as {twin} (correlation {row.max():.2f})"
            yield Finding(WARNING, record.file, text, MEND_SIMILAR)
