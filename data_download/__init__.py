"""Real data sets fetched into one layout, and the built-in samples.

The command is ``python -m data_download``; notebooks call `resolve_dataset`.
"""

from .datasets import data_folder, fetch_dataset, resolve_dataset
from .fetch import DownloadError
from .manifest import fingerprint, read_manifest, verify_dataset, write_manifest
from .registry import load_registry

__all__ = [
    "DownloadError",
    "data_folder",
    "fetch_dataset",
    "fingerprint",
    "load_registry",
    "read_manifest",
    "resolve_dataset",
    "verify_dataset",
    "write_manifest",
]
