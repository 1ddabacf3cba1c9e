"""What a report says about a method: a paragraph for a paper, and whom it has to cite."""

from __future__ import annotations

__all__ = ["CITATIONS", "count_images", "describe_method", "find_kind"]

CITATIONS = {
    "n2v": [
        "Krull A, Buchholz T-O, Jug F: Noise2Void - learning denoising from single noisy images. "
        "CVPR 2019, arXiv:1811.10980."
    ],
    "unet3class": [
        "Prakash M, Buchholz T-O, Lalit M, Tomancak P, Jug F, Krull A: Leveraging self-supervised "
        "denoising for image segmentation. ISBI 2020, arXiv:1911.12239.",
        "Ronneberger O, Fischer P, Brox T: U-Net: convolutional networks for biomedical image "
        "segmentation. MICCAI 2015, arXiv:1505.04597.",
    ],
    "stardist": [
        "Schmidt U, Weigert M, Broaddus C, Myers G: Cell detection with star-convex polygons. "
        "MICCAI 2018, arXiv:1806.03535.",
        "Weigert M, Schmidt U, Haase R, Sugawara K, Myers G: Star-convex polyhedra for 3D object "
        "detection and segmentation in microscopy. WACV 2020, arXiv:1908.03636.",
    ],
    "em_unet": [
        "Franco-Barranco D, Muñoz-Barrutia A, Arganda-Carreras I: Stable deep neural network "
        "architectures for mitochondria segmentation on electron microscopy volumes. "
        "Neuroinformatics 2022.",
        "Ronneberger O, Fischer P, Brox T: U-Net: convolutional networks for biomedical image "
        "segmentation. MICCAI 2015, arXiv:1505.04597.",
    ],
    "fpn_watershed": [
        "Zaki G, Gudla PR, Lee K, Kim J, Ozbun L, Shachar S, Gadkari M, Sun J, Fraser IDC, Franco "
        "LM, Misteli T, Pegoraro G: A deep learning pipeline for nucleus segmentation. Cytometry A "
        "2020.",
        "Lin T-Y, Dollár P, Girshick R, He K, Hariharan B, Belongie S: Feature pyramid networks "
        "for object detection. CVPR 2017, arXiv:1612.03144.",
    ],
    "afm_unet": [
        "Tiryaki VM et al.: Deep learning to segment AFM images of cells. Cytometry A 101:507-520, "
        "2022.",
        "Ronneberger O, Fischer P, Brox T: U-Net: convolutional networks for biomedical image "
        "segmentation. MICCAI 2015, arXiv:1505.04597.",
    ],
    "embedseg": [
        "Lalit M, Tomancak P, Jug F: EmbedSeg: embedding-based instance segmentation for "
        "biomedical microscopy data. Medical Image Analysis 81, 2022, arXiv:2101.10033."
    ],
    "mask_rcnn": [
        "He K, Gkioxari G, Dollár P, Girshick R: Mask R-CNN. ICCV 2017, arXiv:1703.06870.",
        "Zaki G et al.: A deep learning pipeline for nucleus segmentation. Cytometry A 2020.",
    ],
}
"""Papers by the names of `helpers.predict.methods.METHODS`."""

WHAT = {
    "n2v": "Images were denoised with Noise2Void, which learns from the noisy images alone",
    "unet3class": (
        "Objects were segmented with a U-Net that gives each pixel the probability of background, "
        "inside and border; insides above a threshold were grown back to the border by a watershed"
    ),
    "stardist": (
        "Objects were segmented with StarDist, which predicts for each pixel an object probability "
        "and the distances to the outline along fixed rays, thinned by non-maximum suppression"
    ),
    "em_unet": (
        "Foreground was segmented with a U-Net that gives each pixel a probability, and cut at a "
        "threshold"
    ),
    "fpn_watershed": (
        "Nuclei were segmented with FPN2-WS: feature pyramid networks predict a distance map and a "
        "border map, which a seeded watershed turns into objects"
    ),
    "afm_unet": (
        "Height maps were flattened by a polynomial through the substrate and line by line, scaled "
        "by asinh, and segmented with a U-Net, whose probabilities were cut at a threshold"
    ),
    "embedseg": (
        "Objects were segmented with EmbedSeg, a network that lets each pixel point at the centre "
        "of its object; pixels that point to the same place were clustered to objects"
    ),
    "mask_rcnn": (
        "Nuclei were segmented with Mask R-CNN, which proposes boxes, classifies them and draws a "
        "mask into each"
    ),
}
FIRST_WORDS = {  # how the runs of the notebooks are named
    "n2v": "n2v",
    "unet": "unet3class",
    "stardist": "stardist",
    "embedseg": "embedseg",
    "em": "em_unet",
    "fpn": "fpn_watershed",
    "afm": "afm_unet",
    "mask": "mask_rcnn",
}


def find_kind(method: str, record: dict | None) -> str | None:
    """Return which method a run is of: a key of `CITATIONS`, or None.

    Parameters
    ----------
    method : str
        Name of the run.
    record : dict, optional
        Of ``predictor.json``.
    """
    if record and record.get("method") in CITATIONS:
        return record["method"]
    if "stardist" in method:
        return "stardist"
    return FIRST_WORDS.get(method.split("_")[0])


def count_images(n: int) -> str:
    """Return ``"1 test image"`` or ``"3 test images"``."""
    return f"{n} test image{'' if n == 1 else 's'}"


def describe_method(kind: str | None, params: dict, summary: dict) -> str:
    """Return the methods paragraph of a run, in sentences for a paper.

    Parameters
    ----------
    kind : str, optional
        Of `find_kind`.
    params, summary : dict
        ``params.json`` and ``summary.json``; the latter may be empty.
    """
    versions, settings = params.get("versions", {}), params.get("parameters", {})
    what = WHAT.get(kind, f"Images were segmented with the method '{params.get('method')}'")
    count = len(CITATIONS.get(kind, ()))
    cite = f" [{'1' if count == 1 else f'1-{count}'}]" if count else ""
    sentences = [f"{what}{cite}."]
    names = ("steps", "epochs", "batch", "rate", "patch", "size", "filters", "depth", "loss")
    shown = [f"{name} {settings[name]}" for name in names if name in settings]
    if shown:
        sentences.append(f"Training used these settings: {', '.join(shown)}.")
    if summary:
        device = params.get("device", {}).get("device", "an unknown device")
        sentences.append(f"Training took {summary['seconds_train']:.0f} s on {device}.")
        sentences.append(_scores_sentence(summary))
    sentences.append(
        "Images were divided into training, validation and test by source image; checkpoints and "
        f"thresholds were chosen on validation images. The random seed was {params.get('seed')}."
    )
    packages = [
        f"{n} {v}" for n, v in versions.items() if n not in ("microseg-notebooks", "python")
    ]
    sentences.append(
        f"Software: microseg-notebooks {versions.get('microseg-notebooks', '?')}, Python "
        f"{versions.get('python', '?')}, {', '.join(packages)}."
    )
    return " ".join(sentences)


def _scores_sentence(summary: dict) -> str:
    scores = {k: v for k, v in summary["scores"].items() if v is not None}
    first = ", ".join(f"{name} {value:.3f}" for name, value in list(scores.items())[:4])
    text = (
        f"On {count_images(summary['n_test'])}, scored once, the result was {first or 'not scored'}"
    )
    rivals = {k: v for k, v in summary["baseline"].items() if k in scores and v is not None}
    if rivals:
        name = summary["baseline"].get("method", "baseline")
        rest = ", ".join(f"{k} {v:.3f}" for k, v in list(rivals.items())[:4])
        text += f" (classical baseline, {name}: {rest})"
    return f"{text}."
