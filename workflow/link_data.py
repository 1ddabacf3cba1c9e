"""Make or fetch a data set, and link it into the data folder of a study.

python workflow/link_data.py NAME FOLDER
"""

import sys
from pathlib import Path

from data_download import data_folder, resolve_dataset


def main(name: str, to: str) -> None:
    """Resolve `name`, and link its folder into `to` at the place it has in the data folder."""
    folder, shared = resolve_dataset(name).absolute(), data_folder().absolute()
    if not folder.is_relative_to(shared):
        return  # a folder of the user's own, which notebooks open by its path
    link = Path(to) / folder.relative_to(shared)
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(folder, target_is_directory=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
