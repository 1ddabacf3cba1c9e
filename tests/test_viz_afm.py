import matplotlib
import numpy as np

from helpers.afm.heightmaps import flatten_map
from helpers.viz.afm import show_flattening, show_surface

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def test_surface_cuts_spikes_and_has_units():
    height = np.add.outer(np.arange(30.0), np.arange(60.0))
    height[3, 3] = 1e6
    ax = plt.subplots(subplot_kw={"projection": "3d"})[1]
    assert show_surface(ax, height, title="map", pixel_size_um=(0.5, 0.25), unit="nm") is ax
    assert ax.get_zlim()[1] < 100 and ax.get_xlabel() == "µm" and ax.get_zlabel() == "nm"
    assert 14 < ax.get_xlim()[1] < 16 and ax.get_title() == "map"
    plt.close("all")


def test_four_pictures():
    image = np.random.default_rng(0).normal(0, 1, (24, 24))
    axes = show_flattening(plt.subplots(1, 4)[1], image, flatten_map(image))
    titles = [ax.get_title() for ax in axes]
    assert titles == ["as measured", "subtracted surface", "taken for glass", "flattened"]
    assert all(len(ax.images) == 1 for ax in axes)
    plt.close("all")
