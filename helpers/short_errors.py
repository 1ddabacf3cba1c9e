"""Errors in a notebook without a wall of traceback, where the message says it all."""

from __future__ import annotations

import traceback
from pathlib import Path

__all__ = ["NotebookEnd", "explain", "shorten_errors", "stop_here"]

OWN = Path(__file__).parents[1]
SPOKEN = (ValueError, OSError, ImportError, MemoryError)  # what this project raises on purpose
OUT_OF_ORDER = (
    "It is made in a cell above that was not run in this session: in JupyterLab take Run > Run All "
    "Above Selected Cell, in Colab Runtime > Run before."
)
GPU_FULL = (
    "The graphics card has too little free memory. Stop other notebooks that use it, lower the "
    "batch or the patch in the preset, or restart with CUDA_VISIBLE_DEVICES=-1 for the processor."
)


class NotebookEnd(Exception):  # noqa: N818 - it is no error
    """Ends the run of a notebook before its last cell, on purpose."""


def stop_here(message: str) -> None:
    """End the run of a notebook: the cells below do not run, and no error is shown.

    Parameters
    ----------
    message : str
        The line that is printed in a notebook started by
        `helpers.runtime.start_notebook`; elsewhere the text of the exception.

    Raises
    ------
    NotebookEnd
        Always. "Run All" stops there; papermill also, and ends well.
    """
    raise NotebookEnd(message)


def explain(error: BaseException) -> tuple[bool, str]:
    """Return whether the message of an error is enough without its traceback, and a hint.

    Parameters
    ----------
    error : BaseException
        As caught, with its traceback.

    Returns
    -------
    is_enough : bool
        True for errors that code of this project raises on purpose, and for names that a cell
        lacks. False for everything else: there the traceback is needed.
    hint : str
        A sentence to show below the error; empty if there is none.
    """
    last = traceback.extract_tb(error.__traceback__)[-1:] or [None]
    file = Path(last[0].filename) if last[0] else Path()
    own = any(file.is_relative_to(OWN / part) for part in ("helpers", "data_download"))
    if type(error) is NameError and not file.is_file():  # in a cell, not in a module
        return True, OUT_OF_ORDER
    if type(error).__name__ == "ResourceExhaustedError" or "CUDA_ERROR_OUT_OF_MEMORY" in str(error):
        return False, GPU_FULL
    return own and isinstance(error, SPOKEN), ""


def shorten_errors() -> None:
    """In a notebook, show errors of this project by their message alone; else do nothing."""
    try:
        from IPython import get_ipython
    except ImportError:
        return
    if (shell := get_ipython()) is None:
        return

    def show(shell, kind, error, tb, tb_offset=None):
        if isinstance(error, NotebookEnd):
            # a name that papermill takes for a good end; what is shown is the one line
            shell._showtraceback(SystemExit, "", [str(error)])
            return
        is_enough, hint = explain(error)
        options = {"exception_only": True} if is_enough else {"tb_offset": tb_offset}
        shell.showtraceback((kind, error, tb), **options)
        if hint:
            print(hint)

    shell.set_custom_exc((Exception,), show)
