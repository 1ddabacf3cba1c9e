"""The command ``python -m helpers``: predict a folder, export results, write a report."""

import argparse
import logging
import os
import sys


def main(argv=None) -> int:
    """Run the command and return its exit code: 0 good, 1 some images failed, 2 error of use.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; default those of the process.
    """
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except (ValueError, OSError, ImportError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what was finished is kept, --resume goes on", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m helpers", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    predict = _add(commands, "predict", run_predict, "predict every image of a folder")
    predict.add_argument("model", metavar="MODEL", help="run folder, runs/DATASET/METHOD")
    predict.add_argument("folder", metavar="FOLDER", help="folder with images")
    predict.add_argument("--out", metavar="OUT", help="folder for the results (FOLDER_METHOD)")
    predict.add_argument(
        "--tta",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="average over flips and turns (as the model was saved)",
    )
    predict.add_argument("--resume", action="store_true", help="skip images with a result")
    export = _add(commands, "export", run_export, "export results for other programs")
    export.add_argument("labels", metavar="LABELS", help="label image, folder of them, run folder")
    export.add_argument(
        "--to",
        required=True,
        choices=("roi", "geojson", "table", "labels", "bioimageio"),
        help="Fiji ROIs, QuPath GeoJSON, table of objects, label TIFFs with pixel size; or, with a "
        "run folder as LABELS, the package of its model for the BioImage Model Zoo",
    )
    export.add_argument("--author", metavar="NAME", help="who made the model (for bioimageio)")
    export.add_argument("--out", metavar="OUT", help="folder for the results (LABELS_KIND)")
    export.add_argument("--images", metavar="FOLDER", help="raw images of equal names")
    export.add_argument(
        "--pixel-size", metavar="UM", help="in um: 0.2, or 0.5,0.2,0.2 in the order Z,Y,X"
    )
    masks = _add(commands, "masks", run_masks, "turn drawings into label images")
    masks.add_argument("drawings", metavar="DRAWINGS", help="folder or file of the drawings")
    masks.add_argument("images", metavar="IMAGES", help="folder with the images")
    masks.add_argument("out", metavar="OUT", help="folder for the label images")
    report = _add(commands, "report", run_report, "write report.html of a run, finished or not")
    report.add_argument("run_folder", metavar="RUN", help="run folder, runs/DATASET/METHOD")
    report.add_argument(
        "--pdf", action="store_true", help="also report.pdf, by Chromium, Chrome or WeasyPrint"
    )
    for command in (export, masks):
        command.add_argument("--overwrite", action="store_true", help="replace existing files")
    return parser


def _add(commands, name: str, run, text: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    return command


def run_predict(arguments) -> int:
    """Predict a folder."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # the line of the image says it
    from helpers.predict.folder import predict_folder

    options = {"tta": arguments.tta, "resume": arguments.resume, "show": _show}
    outcomes = predict_folder(arguments.model, arguments.folder, arguments.out, **options)
    counts = {s: sum(o.status == s for o in outcomes) for s in ("predicted", "skipped", "failed")}
    print(", ".join(f"{n} {status}" for status, n in counts.items()))
    return 1 if counts["failed"] else 0


def run_export(arguments) -> int:
    """Export label images, or a model."""
    if arguments.to == "bioimageio":
        return run_zoo(arguments)
    from helpers.export.folder import export_folder

    size = _parse_pixel_size(arguments.pixel_size)
    options = {"images": arguments.images, "overwrite": arguments.overwrite, "show": _show}
    written = export_folder(
        arguments.labels, arguments.to, arguments.out, pixel_size_um=size, **options
    )
    place = written[0].parent if written else "no file: there are no objects"
    print(f"{len(written)} files in {place}")
    return 0


def run_zoo(arguments) -> int:
    """Export a model."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from pathlib import Path

    from helpers.export.zoo import write_zoo_package

    if not arguments.author:
        raise ValueError("--author is missing: the zoo names who made a model")
    run = Path(arguments.labels).expanduser().absolute()
    path = Path(arguments.out or run.with_name(f"{run.name}_bioimageio")) / f"{run.name}.zip"
    options = {"author": arguments.author, "overwrite": arguments.overwrite}
    print(f"passed its own test: {write_zoo_package(run, path, **options)}")
    return 0


def _parse_pixel_size(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        sizes = tuple(float(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if len(sizes) not in (1, 2, 3) or min(sizes) <= 0:
        raise ValueError(f"--pixel-size is {text!r}: give 0.2, or 0.5,0.2,0.2 in the order Z,Y,X")
    return sizes * 2 if len(sizes) == 1 else sizes


def run_masks(arguments) -> int:
    """Turn drawings into label images."""
    from helpers.annotations.masks_folder import make_masks

    options = {"overwrite": arguments.overwrite, "show": _show}
    written = make_masks(arguments.drawings, arguments.images, arguments.out, **options)
    print(f"{len(written)} label images in {arguments.out}")
    return 0


def run_report(arguments) -> int:
    """Write the report of a run."""
    from helpers.report.page import write_report

    page = write_report(arguments.run_folder)
    print(page)
    if arguments.pdf:
        from helpers.report.pdf import write_pdf

        print(write_pdf(page))
    return 0


def _show(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
