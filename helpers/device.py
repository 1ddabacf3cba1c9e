"""What a run depends on beside its parameters: device, versions, state of the code."""

import os
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["device_report", "git_state", "package_versions", "project_version"]

_OTHER_NAMES = {"tensorflow": ("tensorflow-cpu", "tensorflow-macos", "tensorflow-intel")}


def device_report(*, use_gpu: bool = True) -> dict[str, str | int]:
    """Say on what the networks will run.

    Parameters
    ----------
    use_gpu
        Look for a GPU, which loads the Keras backend. It is asked to take GPU memory as
        needed, not all at once, so that two notebooks can share it.

    Returns
    -------
    dict
        ``device`` (name of the GPU, or ``"CPU, 8 cores"``), ``gpus`` and ``cores`` (counts)
        and ``backend`` of Keras (``"none"`` without ``use_gpu``).
    """
    cores = _count_cores()
    backend, names = ("none", []) if not use_gpu else _list_gpus()
    plural = "" if cores == 1 else "s"
    device = ", ".join(names) if names else f"CPU, {cores} core{plural}"
    return {"device": device, "gpus": len(names), "cores": cores, "backend": backend}


def _count_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux: the cores this process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _list_gpus() -> tuple[str, list[str]]:
    # JAX reads this when it starts; it has no effect on the other backends.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    from keras.config import backend

    listers = {"tensorflow": _tensorflow_gpus, "jax": _jax_gpus, "torch": _torch_gpus}
    return backend(), listers.get(backend(), list)()


def _tensorflow_gpus() -> list[str]:
    import tensorflow as tf

    names = []
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            print("GPU memory is already in use by this kernel: restart it to share the GPU.")
        names.append(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))
    return names


def _jax_gpus() -> list[str]:
    import jax

    return [device.device_kind for device in jax.devices() if device.platform != "cpu"]


def _torch_gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def package_versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Look up installed versions without importing anything.

    Parameters
    ----------
    packages
        Names as in the package index; ``"tensorflow"`` also finds its CPU-only builds.

    Returns
    -------
    dict
        Version by name; packages that are not installed are left out.
    """
    found = {}
    for name in packages:
        for candidate in (name, *_OTHER_NAMES.get(name, ())):
            try:
                found[name] = version(candidate)
                break
            except PackageNotFoundError:
                continue
    return found


def project_version() -> str:
    """Return the version of this project, also where it is not installed (Colab)."""
    settings = Path(__file__).parents[1] / "pyproject.toml"
    if settings.is_file():
        return tomllib.loads(settings.read_text(encoding="utf-8"))["project"]["version"]
    return package_versions(("microseg-notebooks",)).get("microseg-notebooks", "unknown")


def git_state() -> dict | None:
    """Return the commit of this code and whether files differ from it; None without git."""

    def ask(*words: str) -> str:
        command = ["git", "-C", str(Path(__file__).parents[1]), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "changed": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
