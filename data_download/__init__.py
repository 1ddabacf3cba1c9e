"""Real data sets fetched into one layout, and the built-in samples.

The command is ``python -m data_download``; notebooks call `resolve_dataset`.
"""

from .datasets import data_folder, fetch_dataset, resolve_dataset
from .fetch import DownloadError
from .manifest import fingerprint, read_manifest, verify_dataset, write_manifest
from .patches import find_shared_sources
from .registry import load_registry
from .voidseg import build_patches

__all__ = [
    "DownloadError",
    "build_patches",
    "data_folder",
    "fetch_dataset",
    "find_shared_sources",
    "fingerprint",
    "load_registry",
    "read_manifest",
    "resolve_dataset",
    "verify_dataset",
    "write_manifest",
]
