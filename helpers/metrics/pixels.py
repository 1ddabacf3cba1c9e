"""Pixel scores: foreground masks against each other, and denoised images against clean ones.

Import these names from `helpers.metrics`.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

__all__ = ["MaskScores", "count_mask_pixels", "fit_gain_offset", "psnr", "score_masks", "ssim"]


@dataclass(frozen=True)
class MaskScores:
    """Pixel counts of one mask pair, or of several added up.

    Attributes
    ----------
    tp, fp, fn, tn : int
        Pixels that are foreground in both, only in the prediction, only in the truth, and
        in neither.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: MaskScores) -> MaskScores:
        """Add the pixel counts of two images."""
        return MaskScores(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def row(self) -> dict[str, float]:
        """Return the scores as one table row; `score_masks` has the formulas.

        Returns
        -------
        dict
            ``iou iou_overall dice accuracy mcc precision recall``.
        """
        tp, fp, fn, tn = astuple(self)
        iou = self._ratio(tp, tp + fp + fn)
        return {
            "iou": iou,
            "iou_overall": (iou + self._ratio(tn, tn + fp + fn)) / 2,
            "dice": self._ratio(2 * tp, 2 * tp + fp + fn),
            "accuracy": self._ratio(tp + tn, tp + fp + fn + tn),
            "mcc": self._ratio(
                tp * tn - fp * fn, ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5
            ),
            "precision": self._ratio(tp, tp + fp),
            "recall": self._ratio(tp, tp + fn),
        }

    def _ratio(self, numerator: float, denominator: float) -> float:
        if denominator:
            return numerator / denominator
        return float(self.fp == 0 and self.fn == 0)


def count_mask_pixels(mask_true: np.ndarray, mask_pred: np.ndarray) -> MaskScores:
    """Count true and false foreground and background pixels.

    Parameters
    ----------
    mask_true, mask_pred : ndarray of bool or int, any shape
        Masks of equal shape; every value but 0 is foreground (so 0/1 and 0/255 both serve).

    Returns
    -------
    MaskScores
        The four counts; they add up over images.

    Raises
    ------
    ValueError
        If shapes differ or a mask holds decimal numbers.
    """
    true = _check_mask(mask_true, "mask_true")
    pred = _check_mask(mask_pred, "mask_pred")
    _check_shapes(true, pred, "mask_true", "mask_pred")
    # Python integers: the product under the root of MCC overflows 64 bits
    tp, n_true, n_pred = (int(np.count_nonzero(m)) for m in (true & pred, true, pred))
    return MaskScores(tp, n_pred - tp, n_true - tp, true.size - n_true - n_pred + tp)


def score_masks(mask_true: np.ndarray, mask_pred: np.ndarray) -> dict[str, float]:
    """Score one predicted foreground mask.

    Parameters
    ----------
    mask_true, mask_pred : ndarray of bool or int, any shape
        Masks of equal shape; every value but 0 is foreground.

    Returns
    -------
    dict
        ``iou`` TP/(TP+FP+FN) of the foreground; ``iou_overall`` the mean of that and of the
        background's IoU, TN/(TN+FP+FN); ``dice`` 2TP/(2TP+FP+FN); ``accuracy``
        (TP+TN)/all; ``mcc`` Matthews correlation (TP·TN-FP·FN) /
        sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)); ``precision`` TP/(TP+FP); ``recall`` TP/(TP+FN).

    Raises
    ------
    ValueError
        As `count_mask_pixels`.

    Notes
    -----
    A ratio whose denominator is 0 is 1 when the two masks are equal, else 0.

    Examples
    --------
    >>> score_masks(np.array([1, 1, 1, 0]), np.array([1, 1, 0, 1]))["iou"]
    0.5
    """
    return count_mask_pixels(mask_true, mask_pred).row()


def psnr(clean: np.ndarray, image: np.ndarray, *, data_range: float) -> float:
    """Peak signal-to-noise ratio, 10 log10(data_range² / mean squared error), in decibels.

    Parameters
    ----------
    clean, image : ndarray, any shape
        Reference and image to judge, on the same intensity scale (see `fit_gain_offset`).
    data_range : float
        Span of the reference's intensities, such as ``clean.max() - clean.min()``. It shifts
        every value by a constant, so state it wherever PSNR is reported.

    Returns
    -------
    float
        Decibels; infinite for equal images.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or `data_range` is not positive.
    """
    from skimage.metrics import peak_signal_noise_ratio

    clean, image = _check_pair(clean, image, data_range)
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(clean, image, data_range=data_range))


def ssim(clean: np.ndarray, image: np.ndarray, *, data_range: float, win_size: int = 7) -> float:
    """Structural similarity (Wang 2004), the mean over all windows; 1 for equal images.

    Parameters
    ----------
    clean, image : ndarray, YX or ZYX
        Reference and image to judge, on the same intensity scale.
    data_range : float
        Span of the reference's intensities.
    win_size : int
        Side of the uniform window in pixels, odd; scikit-image's default of 7.

    Returns
    -------
    float
        Between -1 and 1.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, `data_range` is not positive, or the image
        is smaller than the window.
    """
    from skimage.metrics import structural_similarity

    clean, image = _check_pair(clean, image, data_range)
    if win_size % 2 == 0 or min(clean.shape) < win_size:
        raise ValueError(
            f"win_size is {win_size} and the image has shape {clean.shape}: give an odd "
            "win_size no larger than the shortest side (score a thin stack slice by slice)"
        )
    return float(structural_similarity(clean, image, data_range=data_range, win_size=win_size))


def fit_gain_offset(clean: np.ndarray, image: np.ndarray) -> tuple[float, float]:
    """Find the gain and offset that bring an image onto the scale of its reference.

    Parameters
    ----------
    clean, image : ndarray, any shape
        Reference and image, of equal shape.

    Returns
    -------
    gain, offset : float
        The least-squares minimum of ``(gain * image + offset - clean)²``. A constant image
        gets gain 0 and the mean of `clean` as offset.

    Raises
    ------
    ValueError
        If shapes differ or a value is not finite.

    Notes
    -----
    For pairs stored on different scales (two 8-bit exports, say). Noise in `image` pulls the
    gain towards 0, which flatters a noisy image: PSNR after the fit is an upper bound.

    Examples
    --------
    >>> fit_gain_offset(np.array([3.0, 5.0, 7.0]), np.array([0.0, 1.0, 2.0]))
    (2.0, 3.0)
    """
    clean, image = _check_pair(clean, image, 1)
    spread = image - image.mean()
    variance = np.vdot(spread, spread)
    gain = np.vdot(spread, clean) / variance if variance else 0.0
    return float(gain), float(clean.mean() - gain * image.mean())


def _check_mask(mask: np.ndarray, name: str) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.dtype != bool and not np.issubdtype(mask.dtype, np.integer):
        raise ValueError(
            f"{name} must be boolean or integer, got {mask.dtype}: turn probabilities into a "
            f"mask with a threshold, {name} > 0.5"
        )
    return mask != 0


def _check_shapes(first: np.ndarray, second: np.ndarray, name: str, other: str) -> None:
    if first.shape != second.shape:
        raise ValueError(
            f"{name} has shape {first.shape}, {other} {second.shape}: both must be of the "
            "same image, uncropped and in the same axis order"
        )


def _check_pair(clean: np.ndarray, image: np.ndarray, data_range: float) -> tuple:
    clean, image = np.asarray(clean, float), np.asarray(image, float)
    _check_shapes(clean, image, "clean", "image")
    if not data_range > 0:
        raise ValueError(
            f"data_range must be positive, got {data_range}: give clean.max() - clean.min(), "
            "or the camera's range if the reference is constant"
        )
    for name, array in (("clean", clean), ("image", image)):
        if not np.isfinite(array).all():
            raise ValueError(
                f"{name} holds NaN or infinite values: crop them away or replace them first"
            )
    return clean, image
