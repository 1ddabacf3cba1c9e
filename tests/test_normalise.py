"""Scaling of grey values."""

import json

import numpy as np
import pytest
from csbdeep.utils import normalize

from helpers.normalise import Normalizer


def test_percentiles_worked_out_by_hand():
    # 0, 10 ... 100: percentile 10 is 10, percentile 90 is 90
    image = np.arange(0, 101, 10, dtype=np.uint8).reshape(1, 11)
    found = Normalizer(low=10, high=90)(image)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0, [0, 1, 5, 9]], [-0.125, 0, 0.5, 1])


def test_percentiles_agree_with_csbdeep():
    image = np.random.default_rng(0).gamma(2, 200, (40, 50)).astype(np.uint16)
    np.testing.assert_allclose(Normalizer()(image), normalize(image, 1, 99.8), atol=1e-5)


def test_mean_and_deviation():
    # mean 2, variance ((1 + 1 + 1 + 1) / 4) = 1
    np.testing.assert_allclose(
        Normalizer("mean_std")(np.array([[1, 3], [3, 1]])), [[-1, 1], [1, -1]]
    )


@pytest.mark.parametrize("kind", ["percentile", "mean_std"])
@pytest.mark.parametrize("value", [0, 7, -3.5])
def test_constant_image_becomes_zero(kind, value):
    np.testing.assert_array_equal(Normalizer(kind)(np.full((4, 5), value)), np.zeros((4, 5)))


def test_fit_takes_all_pixels_of_all_images():
    images = [np.zeros((2, 3)), np.full((3, 2), 4.0)]
    fitted = Normalizer("mean_std").fit(images)
    assert fitted.constants == (2.0, 2.0)
    np.testing.assert_array_equal(fitted(np.array([[6]])), [[2.0]])
    assert Normalizer(low=0, high=100).fit(images).constants == (0.0, 4.0)


def test_fit_of_many_pixels_is_a_sample(monkeypatch):
    monkeypatch.setattr("helpers.normalise.MAX_PIXELS", 100)
    images = [np.random.default_rng(i).normal(5, 2, (50, 50)) for i in range(4)]
    mean, std = Normalizer("mean_std").fit(images).constants
    assert (mean, std) == (pytest.approx(5, abs=0.8), pytest.approx(2, abs=0.8))


def test_constants_survive_json():
    normalizer = Normalizer("percentile", low=2, high=98, constants=(1, 9))
    again = Normalizer.from_dict(json.loads(json.dumps(normalizer.to_dict())))
    assert again == normalizer
    np.testing.assert_array_equal(again(np.array([[5]])), [[0.5]])


def test_nan_does_not_count():
    image = np.array([[0.0, np.nan, 10.0]])
    found = Normalizer(low=0, high=100)(image)
    np.testing.assert_array_equal(found, np.array([[0, np.nan, 1]], np.float32))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kind": "minmax"}, "kind is 'minmax': give 'percentile' or 'mean_std'"),
        ({"low": 50, "high": 10}, "need 0 <= low < high <= 100"),
        ({"constants": (1, np.nan)}, "constants is .*: give two finite numbers"),
        ({"gamma": 2}, "not those of a Normalizer"),
    ],
)
def test_parameters_are_checked(parameters, message):
    with pytest.raises(ValueError, match=message):
        Normalizer.from_dict(parameters)


def test_nothing_to_measure():
    with pytest.raises(ValueError, match="no finite pixel"):
        Normalizer().fit([])
