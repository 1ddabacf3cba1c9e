"""Sliders and lists in a notebook, for a look by hand: thresholds, and predictions one by one.

    widgets  the two panels
    parts    what they show, without any widget

Optional: nothing else uses it. ``pip install "microseg-notebooks[widgets]"`` installs ipywidgets.

What `__all__` lists can be imported from here.
"""

from helpers.panel.widgets import browse_predictions, explore_thresholds

__all__ = [
    "browse_predictions",
    "explore_thresholds",
]
