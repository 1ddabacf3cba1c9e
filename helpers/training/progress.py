"""A short, live account of a training: one text that grows to at most ten lines."""

import sys

__all__ = ["Progress"]


class Progress:
    """Shows one line per tenth of the training, and in a notebook the current epoch too.

    Parameters
    ----------
    total
        Number of epochs.
    """

    def __init__(self, total: int):
        self.total = total
        self.lines: list[str] = []
        self._display = None

    def show(self, epoch: int, line: str) -> None:
        """Show the `line` of an `epoch` (counted from 1)."""
        is_milestone = epoch * 10 // self.total > (epoch - 1) * 10 // self.total
        if _in_notebook():
            self._redraw([*self.lines, line])
        elif is_milestone:
            print(line, flush=True)
        if is_milestone:
            self.lines.append(line)

    def _redraw(self, lines: list[str]) -> None:
        from IPython.display import display

        text = {"text/plain": "\n".join(lines)}
        if self._display is None:
            self._display = display(text, raw=True, display_id=True)
        else:
            self._display.update(text, raw=True)


def _in_notebook() -> bool:
    """Tell whether a Jupyter kernel runs this; IPython is never loaded for that."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")
