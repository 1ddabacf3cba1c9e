"""Fields of any size: tiles agree with the whole, and memory stays bounded."""

import tracemalloc

import numpy as np
import pytest

from helpers.fpn.field import predict_field, segment_field
from helpers.metrics import score_instances
from helpers.normalise import Normalizer
from helpers.targets import border_ridge, normalized_distance


class Stub:
    """Stands for a network: the image shows both maps, so it only has to tell them apart."""

    def __init__(self):
        self.shapes = []

    def __call__(self, batch):
        self.shapes.append(batch.shape)
        return np.concatenate([batch % 1, np.floor(batch) / 1000], axis=-1).astype(np.float32)


def draw_nuclei(shape, *, pitch=30, seed=0):
    """Ellipses on a grid, of which neighbours touch or nearly touch."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:pitch, :pitch] - (pitch - 1) / 2
    labels = np.zeros(shape, np.int32)
    for number, corner in enumerate(np.ndindex(shape[0] // pitch, shape[1] // pitch), start=1):
        long, short = pitch / 2, rng.uniform(0.3, 0.5) * pitch
        ellipse = (y / long) ** 2 + (x / short) ** 2 <= 1
        box = tuple(slice(pitch * k, pitch * (k + 1)) for k in corner)
        labels[box][ellipse] = number
    return labels


def as_field(labels):
    """Pack distance (two digits) and border into one 16-bit image."""
    packed = np.round(normalized_distance(labels) * 99)
    return (packed + 100 * np.round(border_ridge(labels) * 600)).astype(np.uint16)


def unpack(packed):
    return np.floor(packed / 100) / 600 * 1000 // 1 + (packed % 100) / 100


@pytest.fixture(scope="module")
def field():
    labels = draw_nuclei((330, 290), seed=3)
    return labels, as_field(labels)


def test_field_is_segmented_in_tiles(field):
    labels, image = field
    stub = Stub()
    found = segment_field(
        stub, image, normalize=unpack, tile_shape=(128, 96), overlap=(32, 32), batch_size=3
    )
    assert found.shape == labels.shape and found.dtype == np.int32
    assert {shape[1:] for shape in stub.shapes} == {(128, 96, 1)}
    assert max(shape[0] for shape in stub.shapes) <= 3
    assert score_instances(labels, found, thresholds=(0.9,)).f1[0] == 1


def test_maps_of_a_field_are_those_of_its_pixels(field):
    _, image = field
    maps = predict_field(Stub(), image, normalize=unpack, tile_shape=(96, 96), overlap=(32, 32))
    np.testing.assert_allclose(maps, Stub()(unpack(image)[..., None]), atol=2e-3)


def test_the_whole_field_is_normalised_not_each_tile(field):
    _, image = field
    maps = predict_field(
        lambda batch: np.repeat(batch, 2, axis=-1),
        image,
        normalize=Normalizer(),
        tile_shape=(64, 64),
        overlap=(16, 16),
    )
    np.testing.assert_allclose(maps[..., 0], Normalizer()(image), atol=1e-5)


def test_published_field_size_in_bounded_memory(field):
    labels, image = field
    large = np.tile(image, (7, 9))[:2158, :2558]  # the largest fields of the paper
    stub = Stub()
    tracemalloc.start()
    found = segment_field(stub, large, normalize=unpack, tile_shape=(512, 512), overlap=(64, 64))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert max(np.prod(shape) for shape in stub.shapes) <= 8 * 512 * 512
    assert peak < 60 * large.size  # bytes
    whole = np.tile(labels > 0, (7, 9))[:2158, :2558]
    assert np.mean((found > 0) == whole) > 0.99
    assert found.max() >= 6 * 8 * labels.max()


def test_field_of_other_axes_is_refused():
    with pytest.raises(ValueError, match=r"image has shape \(2, 3, 4, 5\)"):
        predict_field(Stub(), np.zeros((2, 3, 4, 5)), normalize=np.asarray)
