"""Networks are compiled, trained and used for volumes of any size."""

from itertools import islice

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

keras = pytest.importorskip("keras")

from helpers.augment.em import augment_em  # noqa: E402
from helpers.augment.sampling import patch_batches, supervised_batches  # noqa: E402
from helpers.em.coarse import run_coarser  # noqa: E402
from helpers.em.published import (  # noqa: E402
    augment_as_published,
    oztel_batches,
    train_as_published,
)
from helpers.em.training import (  # noqa: E402
    MaskIoU,
    choose_options,
    compile_network,
    count_collapsed,
    fit_patch,
    predict_foreground,
    score_held_out,
)
from helpers.metrics import score_masks  # noqa: E402
from helpers.normalise import Normalizer  # noqa: E402
from helpers.unets import build_unet, input_divisor, output_strides  # noqa: E402

TINY = {"filters": 4, "depth": 1, "normalization": "batch", "dropout": 0.0}


def volume(shape=(6, 40, 44), seed=0):
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    mask[..., 8:24, 12:30] = 1
    return (1.0 - mask + rng.normal(0, 0.1, shape)).astype(np.float32), mask


@pytest.fixture(scope="module")
def trained():
    """A small 2D network on half the resolution, and its losses."""
    keras.utils.set_random_seed(0)
    model = run_coarser(build_unet("unet", prior=0.2, **TINY), 2)
    compile_network(model, "unet", learning_rate=1e-2)
    image, mask = volume()
    batches = patch_batches(
        list(image), list(mask), patch_shape=(24, 24), batch_size=2, augment=augment_em, seed=1
    )
    losses = [model.train_on_batch(*batch) for batch in islice(batches(0), 60)]
    return model, np.array(losses)


def test_loss_falls_and_the_score_is_high(trained):
    model, losses = trained
    assert losses[-10:].mean() < 0.5 * losses[:10].mean()
    image, mask = volume(seed=1)
    scores = MaskIoU([image], [mask])(model)
    assert scores["val_iou"] >= scores["val_iou_half"]
    assert scores["val_iou"] > 0.8


def test_held_out_volumes_are_scored_at_the_threshold_of_validation(trained):
    validation, test = (([image], [mask]) for image, mask in (volume(seed=1), volume(seed=2)))
    result = score_held_out(trained[0], validation, test)
    assert result["val_iou"] == MaskIoU(*validation)(trained[0])["val_iou"]
    found = predict_foreground(trained[0], test[0][0]) >= result["threshold"]
    assert result["iou"] == score_masks(test[1][0], found)["iou"]


def test_memory_of_batch_normalisation_is_short_inside_too(trained):
    (inner,) = [layer for layer in trained[0].layers if isinstance(layer, keras.Model)]
    kinds = [x for x in inner.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert kinds and {layer.momentum for layer in kinds} == {0.9}


def test_a_volume_is_predicted_slice_by_slice(trained):
    model, _ = trained
    image, _ = volume()
    whole = predict_foreground(model, image)
    assert whole.shape == image.shape and whole.dtype == np.float32
    planes = np.stack([predict_foreground(model, plane) for plane in image])
    assert whole == pytest.approx(planes, abs=1e-5)


def test_windows_and_turns_change_little(trained):
    model, _ = trained
    image, _ = volume()
    whole = predict_foreground(model, image)
    tiled = predict_foreground(model, image, tile_shape=(32, 32), overlap=16)
    turned = predict_foreground(model, image, tta=True)
    assert np.abs(tiled - whole).mean() < 0.05
    assert 0 < np.abs(turned - whole).mean() < 0.05


def test_turning_the_volume_turns_the_mean_over_all_turns(trained):
    model, _ = trained
    image = volume((2, 40, 40))[0]
    direct = predict_foreground(model, np.rot90(image, axes=(1, 2)), tta=True)
    turned = np.rot90(predict_foreground(model, image, tta=True), axes=(1, 2))
    assert direct == pytest.approx(turned, abs=1e-4)


def test_masks_are_written_to_a_file(trained, tmp_path):
    model, _ = trained
    image, _ = volume()
    out = np.memmap(tmp_path / "mask", bool, "w+", shape=image.shape)
    predict_foreground(model, image, out=out, finish=lambda p: p[..., 0] >= 0.5)
    assert (out == (predict_foreground(model, image) >= 0.5)).all()


def test_raw_values_are_normalised_while_they_are_read(trained):
    image, _ = volume()
    raw = np.round(1000 * (image - image.min())).astype(np.uint16)
    normalize = Normalizer().fit([raw])
    found = predict_foreground(trained[0], raw, normalize=normalize)
    assert found == pytest.approx(predict_foreground(trained[0], normalize(raw)), abs=1e-5)


def test_three_dimensions_and_deep_supervision():
    options = choose_options("xiao2018", TINY, ndim=3)
    model = build_unet("xiao2018", ndim=3, prior=0.2, **options)
    compile_network(model, "xiao2018", learning_rate=1e-2)
    image, mask = volume((8, 24, 24))
    batches = patch_batches([image], [mask], patch_shape=(4, 16, 16), batch_size=1)
    batches = supervised_batches(batches, model)
    losses = [np.ravel(model.train_on_batch(*b))[0] for b in islice(batches(0), 12)]
    assert losses[-1] < losses[0]
    assert predict_foreground(model, image, overlap=(2, 8, 8)).shape == image.shape


def test_patches_and_options_fit_the_network(trained):
    assert fit_patch(trained[0], (24, 30)) == (24, 32)
    assert choose_options("fcn8", TINY | {"unknown": 1}) == {
        k: TINY[k] for k in TINY if k != "depth"
    }
    assert choose_options("unet", TINY, ndim=3) == TINY
    assert count_collapsed([0.0, 0.04, 0.5]) == 2


@pytest.mark.parametrize(("ndim", "factor"), [(2, 2), (2, 3), (3, (1, 2, 2))])
def test_a_coarse_network_keeps_places_and_reloads(ndim, factor, tmp_path):
    from helpers.saving import load_model, save_model

    inner = build_unet("unet", ndim=ndim, **TINY)
    model = run_coarser(inner, factor)
    factors = (factor,) * ndim if isinstance(factor, int) else factor
    assert input_divisor(model) == tuple(2 * f for f in factors)
    assert output_strides(model) == {"main": (1,) * ndim}
    small = np.random.default_rng(0).random((1, *(8,) * ndim, 1), np.float32)
    batch, expected = small, inner.predict_on_batch(small)
    for axis, f in enumerate(factors, start=1):
        batch, expected = np.repeat(batch, f, axis), np.repeat(expected, f, axis)
    expected = uniform_filter(expected, (1, *(2 * (f // 2) + 1 for f in factors), 1))
    inside = (0, *(slice(f, -f) for f in factors), 0)
    assert model.predict_on_batch(batch)[inside] == pytest.approx(expected[inside], abs=1e-5)
    save_model(model, tmp_path, batch)
    assert load_model(tmp_path).predict_on_batch(batch) == pytest.approx(
        model.predict_on_batch(batch), abs=1e-5
    )


def test_coarsening_is_symmetric():
    """A mirrored image gives the mirrored output of a network that looks at single pixels."""
    x = keras.Input((None, None, 1))
    model = run_coarser(keras.Model(x, x), 2)
    image = np.random.default_rng(0).random((1, 12, 12, 1), np.float32)
    out = model.predict_on_batch(image)
    assert model.predict_on_batch(image[:, ::-1, ::-1]) == pytest.approx(out[:, ::-1, ::-1])
    ramp = np.broadcast_to(np.arange(12, dtype=np.float32)[:, None, None], (1, 12, 12, 1))
    assert model.predict_on_batch(ramp)[0, 2:-2, 6, 0] == pytest.approx(np.arange(2, 10), abs=0.5)


def test_factors_are_checked():
    model = build_unet("unet", **TINY)
    assert run_coarser(model, 1) is model
    with pytest.raises(ValueError, match="factor is .* for 2 axes"):
        run_coarser(model, (2, 2, 2))


CASES = [("casser2018", 2), ("cheng2017", 2), ("cheng2017", 3), ("xiao2018", 3), ("oztel2017", 2)]


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(("architecture", "ndim"), CASES)
def test_published_trainings_have_their_loss_and_optimizer(architecture, ndim, version):
    plan = train_as_published(architecture, version=version, ndim=ndim)
    x = keras.Input((*(None,) * ndim, 1))
    names = plan.settings.get("loss_weights")
    out = {n: keras.layers.Activation("sigmoid", name=n)(x) for n in names} if names else x
    model = keras.Model(x, out)
    plan.compile(model, steps_per_epoch=10)
    kind = "SGD" if plan.settings["optimizer"].startswith("sgd") else "Adam"
    assert type(model.optimizer).__name__ == kind
    image, mask = volume((8, 40, 44))
    images, masks = ([image], [mask]) if ndim == 3 else (list(image), list(mask))
    patch = (4, 16, 16)[-ndim:]
    x, y = next(plan.batches(images, masks, patch_shape=patch, batch_size=2)(0))
    assert x.shape == y.shape == (2, *patch, 1)


def test_published_learning_rate_falls_at_its_epochs():
    plan = train_as_published("cheng2017", version=0)
    x = keras.Input((None, None, 1))
    model = keras.Model(x, x)
    plan.compile(model, steps_per_epoch=10)
    schedule = model.optimizer._learning_rate
    rates = [float(schedule(step)) for step in (0, 19_999, 20_001, 30_001)]
    assert rates == pytest.approx([0.05, 0.05, 0.005, 0.0005])


def test_soft_jaccard_is_worked_out_by_hand():
    from helpers.em.published import LOSSES
    from helpers.losses import make_loss

    name, options = LOSSES["soft Jaccard of the foreground"]
    true, pred = np.array([[[[1.0], [0.0]]]]), np.array([[[[0.8], [0.4]]]])
    loss = float(make_loss(name, **options)(true, pred))
    assert loss == pytest.approx(1 - (0.8 + 1) / (1 + 0.4 + 1), abs=1e-6)


@pytest.mark.parametrize(
    ("description", "n_different"),
    [("flips", 4), ("quarter turns in the plane", 4), ("flips, quarter turns", 8)],
)
def test_published_turns_are_exact(description, n_different):
    image = np.arange(16.0).reshape(4, 4)
    augment, rng = augment_as_published(description), np.random.default_rng(0)
    pairs = [augment(image, image.astype(int), rng) for _ in range(100)]
    assert all((x == y).all() for x, y in pairs)
    assert len({tuple(x.ravel()) for x, _ in pairs}) == n_different


def test_other_published_changes_keep_image_and_mask_together():
    mask = volume((40, 44))[1]
    for description in ("flips, rotation", "flips, quarter turns, elastic", "shift .2"):
        augment, rng = augment_as_published(description), np.random.default_rng(0)
        for _ in range(10):
            x, y = augment(mask.astype(np.float32), mask, rng)
            assert np.mean((x > 0.5) != (y > 0)) < 0.03 and y.sum() > 30


def test_patches_for_the_classifier_have_a_class_each():
    image, mask = volume((3, 96, 96))
    mask[:, 30:80, 30:80] = 1
    x, y = next(oztel_batches(list(image), list(mask), batch_size=12)(0))
    assert x.shape == (12, 32, 32, 1) and y.shape == (12, 1, 1, 1)
    assert set(np.unique(y)) == {0, 1}
    model = build_unet("oztel2017", filters=4, whole=False)
    assert model(x).shape == y.shape
