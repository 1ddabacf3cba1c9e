"""Pictures for denoising: blind spots, what was taken away, the answer to an empty field."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

from helpers.denoise.checks import residual_autocorrelation, residual_by_signal
from helpers.viz.images import contrast_limits, show_image

__all__ = ["show_answer", "show_blind_spots", "show_residual"]


def show_blind_spots(patch: np.ndarray, inputs: np.ndarray, targets: np.ndarray):
    """Show a patch, the same with its hidden pixels replaced, and what is asked for.

    Parameters
    ----------
    patch : ndarray, YX or ZYX
        As it was; of a stack the middle plane is shown.
    inputs : ndarray, shape (*patch.shape, 1)
        With hidden pixels replaced, of `helpers.denoise.blindspot.mask_pixels`.
    targets : ndarray, shape (*patch.shape, 2)
        True values, and 1 at hidden pixels.

    Returns
    -------
    ndarray of matplotlib.axes.Axes
    """
    shown = [patch, inputs[..., 0], np.where(targets[..., 1] > 0, targets[..., 0], np.nan)]
    if patch.ndim == 3:
        shown = [array[len(patch) // 2] for array in shown]
        targets = targets[len(patch) // 2]
    axes = plt.subplots(1, 3, figsize=(8, 2.9))[1]
    titles = ("patch, hidden pixels marked", "input: each replaced", "asked for: these values only")
    limits = contrast_limits(shown[0])
    for ax, image, title in zip(axes, shown, titles, strict=True):
        show_image(ax, image, title=title, limits=limits)
    for y, x in np.argwhere(targets[..., 1] > 0):
        for ax in axes[:2]:
            ax.add_patch(plt.Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, color="orange", lw=1))
    axes[2].imshow(np.where(targets[..., 1] > 0, np.nan, 0), cmap=ListedColormap(["steelblue"]))
    return axes


def show_residual(noisy: np.ndarray, denoised: np.ndarray, *, max_shift: int = 6):
    """Show what denoising took away: as an image, its correlation, and by brightness.

    Parameters
    ----------
    noisy, denoised : ndarray, YX or ZYX
        Before and after, in grey levels; of a stack the middle plane is shown.
    max_shift : int
        Of the correlation, in pixels.

    Returns
    -------
    ndarray of matplotlib.axes.Axes
    """
    residual = np.asarray(noisy, float) - denoised
    spread = 3 * residual.std()
    axes = plt.subplots(1, 3, figsize=(9, 2.7), width_ratios=(1, 1, 1.1), layout="constrained")[1]
    plane = residual[len(residual) // 2] if residual.ndim == 3 else residual
    show_image(axes[0], plane, title="taken away (residual)", limits=(-spread, spread))
    correlation = residual_autocorrelation(noisy, denoised, max_shift=max_shift)
    reach = max_shift + 0.5
    drawn = axes[1].imshow(
        correlation, cmap="RdBu_r", vmin=-0.2, vmax=0.2, extent=(-reach, reach, -reach, reach)
    )
    axes[1].set(title="its autocorrelation", xlabel="shift x (pixels)", ylabel="shift y")
    axes[1].figure.colorbar(drawn, ax=axes[1], shrink=0.8, extend="max")
    table = residual_by_signal(noisy, denoised)
    axes[2].errorbar(table.signal, table["mean"], table["std"], fmt="o-", capsize=2, label="± s.d.")
    axes[2].axhline(0, color="black", linestyle="--", linewidth=1)
    axes[2].set(title="mean ± s.d. by brightness", xlabel="denoised grey level", ylabel="residual")
    return axes


def show_answer(empty: np.ndarray, answer: np.ndarray):
    """Show an empty noisy field and what the denoiser makes of it, in the same grey scale.

    Parameters
    ----------
    empty, answer : ndarray, YX or ZYX
        Of `helpers.denoise.checks.answer_to_pure_noise`.

    Returns
    -------
    ndarray of matplotlib.axes.Axes
    """
    if empty.ndim == 3:
        empty, answer = empty[len(empty) // 2], answer[len(answer) // 2]
    axes = plt.subplots(1, 2, figsize=(5.5, 2.9))[1]
    limits = contrast_limits(empty)
    show_image(axes[0], empty, title="empty field with noise", limits=limits)
    show_image(axes[1], answer, title="denoised", limits=limits)
    return axes
