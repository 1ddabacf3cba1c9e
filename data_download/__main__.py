"""The command ``python -m data_download``."""

import argparse
import sys
from pathlib import Path

from .datasets import (
    data_folder,
    describe,
    fetch_dataset,
    find_dataset,
    sample_names,
    unknown_name,
)
from .manifest import read_manifest, verify_dataset
from .patches import RULES, find_shared_sources
from .registry import load_registry
from .voidseg import build_patches


def main(argv=None):
    """Run the command and return its exit code: 0 good, 1 findings, 2 an error of use.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; default those of the process.

    Returns
    -------
    int
        The exit code.
    """
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m data_download", description="Fetch data sets and make built-in samples."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name, run, text):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    add("list", run_list, "names of all data sets and samples")
    add("show", run_show, "facts on a data set").add_argument("name", metavar="NAME")
    fetch = add("fetch", run_fetch, "download a data set and bring it into the project's layout")
    sample = add("sample", run_sample, "make a built-in sample, without network")
    for command, default in ((fetch, "NAME"), (sample, "samples/NAME")):
        command.add_argument("name", metavar="NAME")
        command.add_argument("--to", metavar="DIR", help=f"folder to make (data/{default})")
        command.add_argument("--overwrite", action="store_true", help="replace the folder")
    sample.add_argument("--seed", type=int, default=42, metavar="N", help="seed (42)")
    patches = add("patches", run_patches, "cut noisy patches, as VoidSeg did, from a data folder")
    patches.add_argument("source", metavar="SOURCE", help="data folder, or name of a data set")
    patches.add_argument("--noise", type=float, required=True, metavar="SIGMA", help="grey levels")
    patches.add_argument(
        "--rule", choices=RULES, default="by_image", help="how to split (by_image)"
    )
    patches.add_argument("--to", metavar="DIR", help="folder to make (in data)")
    patches.add_argument("--size", type=int, default=128, help="side in pixels (128)")
    patches.add_argument("--per-image", type=int, default=10, metavar="N", help="patches (10)")
    patches.add_argument("--seed", type=int, default=42, metavar="N", help="seed (42)")
    patches.add_argument("--cut-test", action="store_true", help="cut the test images too")
    patches.add_argument("--skip-small", action="store_true", help="leave out what is too small")
    patches.add_argument("--overwrite", action="store_true", help="replace the folder")
    verify = add("verify", run_verify, "check a folder against its dataset.toml")
    verify.add_argument("folder", metavar="DIR")
    return parser


def run_list(arguments):
    """Print the names of all data sets and samples."""
    for entry in load_registry().values():
        print(f"{entry.name:28} {entry.axes:4} {entry.title}")
    print("\nbuilt-in samples (no network):", ", ".join(sample_names()))
    return 0


def run_show(arguments):
    """Print the facts on a data set."""
    print(describe(find_dataset(arguments.name)))
    return 0


def run_fetch(arguments):
    """Fetch a data set."""
    fetch_dataset(arguments.name, arguments.to, overwrite=arguments.overwrite)
    return 0


def run_sample(arguments):
    """Make a built-in sample."""
    from .samples import make_sample

    if arguments.name not in sample_names():
        raise ValueError(unknown_name(arguments.name, sample_names(), "sample"))
    to = Path(arguments.to or data_folder() / "samples" / arguments.name)
    folder = make_sample(arguments.name, to, seed=arguments.seed, overwrite=arguments.overwrite)
    print(f"{arguments.name}: ready in {folder}")
    return 0


def run_patches(arguments):
    """Cut noisy patches from a data folder."""
    names = ("noise", "rule", "size", "cut_test", "skip_small", "seed", "overwrite")
    options = {name: getattr(arguments, name) for name in names}
    folder = build_patches(
        arguments.source, arguments.to, n_per_image=arguments.per_image, **options
    )
    n_shared = len(find_shared_sources(folder))
    print(f"ready in {folder}; images in more than one split: {n_shared}")
    return 0


def run_verify(arguments):
    """Check a folder against its manifest."""
    findings = verify_dataset(arguments.folder)
    for finding in findings:
        print(finding)
    if not findings:
        counts = [f"{s} {v['n']}" for s, v in read_manifest(arguments.folder)["splits"].items()]
        print(f"{arguments.folder} is complete and unchanged: {', '.join(counts)}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
