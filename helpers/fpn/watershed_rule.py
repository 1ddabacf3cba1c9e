"""The thresholds of the seeded watershed, with the published ones; see `seeded_watershed`."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["DEMO_RULE", "PUBLISHED_RULE", "WatershedRule"]


@dataclass(frozen=True)
class WatershedRule:
    """Every threshold of the seeded watershed; the defaults are the mended rule.

    Parameters
    ----------
    seed : float
        Seeds are where the distance is larger, 0 to 1. Higher: more nuclei are told apart,
        and lobed ones fall into pieces.
    closing_radius : int
        Gaps in seeds are closed by a disk of this radius in pixels; 0 closes none.
    erosion : int
        How often each seed loses its outermost pixels (8 neighbours). Small nuclei lose
        their seeds by it.
    min_seed_area : int
        Seeds with fewer pixels are dropped.
    border_weight : float
        So much of the border map is taken off the distance before `seed` is compared: touching
        nuclei come apart where the border is high although the distance is blurred.
    foreground : float or None
        Nuclei end where the distance is not larger than this; with None nothing stops the
        flood but other nuclei, so that background becomes part of them. Not used where there
        is a foreground map.
    mask : float
        With a foreground map, nuclei end where it is not larger than this.
    border_cap : float or None
        Flooding does not enter pixels where the border map reaches this; None: no limit.
    min_area, max_area : int
        Nuclei with fewer or more pixels are dropped, after the watershed.

    Raises
    ------
    ValueError
        If a value is negative, or the areas contradict each other.
    """

    seed: float = 0.67
    closing_radius: int = 1
    erosion: int = 0
    min_seed_area: int = 3
    border_weight: float = 0.0
    foreground: float | None = 0.05
    mask: float = 0.5
    border_cap: float | None = None
    min_area: int = 5
    max_area: int = 100_000

    def __post_init__(self):
        """Check the values."""
        for field in fields(self):
            value = getattr(self, field.name)
            optional = field.name in ("foreground", "border_cap")
            if not (value is None and optional) and not (value is not None and value >= 0):
                raise ValueError(f"{field.name} is {value}: give 0 or a positive number")
        if self.foreground is not None and not self.foreground < self.seed:
            raise ValueError(
                f"foreground is {self.foreground} and seed {self.seed}: seeds lie in the "
                "foreground, so give 0 <= foreground < seed, or foreground=None"
            )
        if self.min_area > self.max_area:
            raise ValueError(f"min_area {self.min_area} is larger than max_area {self.max_area}")


PUBLISHED_RULE = WatershedRule(erosion=1, min_seed_area=5, foreground=None, border_cap=0.3)
"""As in the published workflow: flooding is only stopped by borders of 0.3 and higher."""

DEMO_RULE = WatershedRule(closing_radius=6, min_seed_area=0, foreground=None)
"""As in the published script: nothing stops the flood."""
