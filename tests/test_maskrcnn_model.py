"""The whole network: shapes, loss, stages, saving, and learning two small images by heart."""

import keras
import numpy as np
import pytest

from helpers.maskrcnn import schedule
from helpers.maskrcnn.batches import object_table
from helpers.maskrcnn.inference import DetectionRule, change_caps, segment_image
from helpers.maskrcnn.model import LOSSES, MaskRCNN
from helpers.maskrcnn.schedule import PUBLISHED_STAGES, Stage, set_trainable, train_stages
from helpers.maskrcnn.settings import PUBLISHED, Settings
from helpers.maskrcnn.validation import DetectionAP, tune_rule
from helpers.metrics import score_dataset

SMALL = Settings(
    filters=8,
    pyramid_filters=16,
    strides=(2, 4, 8),
    anchor_strides=(4, 8),
    anchor_sizes=(12, 24),
    anchor_samples=32,
    train_candidates=160,
    train_proposals=20,
    candidates=160,
    proposals=20,
    rois=16,
    box_units=32,
    mask_layers=1,
    mask_filters=16,
    max_detections=12,
)


def draw_images():
    """Return two images of bright discs with noise, two of which touch."""
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:48, :48]
    places = [[(12, 12, 8), (13, 29, 8), (34, 20, 9)], [(10, 34, 7), (30, 12, 10), (35, 33, 9)]]
    labels = np.zeros((2, 48, 48), np.int32)
    for image, discs in zip(labels, places, strict=True):
        for k, (cy, cx, radius) in enumerate(discs, start=1):
            image[((y - cy) ** 2 + (x - cx) ** 2 <= radius**2) & (image == 0)] = k
    values = np.choose(labels, [0, 0.9, 0.7, 0.8]) + rng.normal(0, 0.05, labels.shape)
    return values.astype(np.float32), labels


IMAGES, LABELS = draw_images()


def make_batch():
    tables = [object_table(y, 5) for y in LABELS]
    return IMAGES[..., None], {k: np.stack([t[k] for t in tables]) for k in tables[0]}


def repeat(epoch):
    while True:
        yield make_batch()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = MaskRCNN(SMALL)
    history = train_stages(
        model,
        repeat,
        folder=tmp_path_factory.mktemp("run"),
        stages=[Stage(2, 6e-3)],
        steps_per_epoch=70,
        validate=DetectionAP(IMAGES, LABELS),
    )
    return model, history


def test_two_images_are_learned_by_heart(trained):
    found = [segment_image(trained[0], image) for image in IMAGES]
    scores = score_dataset(list(LABELS), found).summary()
    assert scores["ap_50"] == 1.0


def test_history_has_all_losses_and_the_score(trained):
    history = trained[1]
    assert {*LOSSES, "loss", "val_ap", "stage", "epoch"} <= set(history)
    parts = history[list(LOSSES)].sum(axis=1)
    np.testing.assert_allclose(parts, history["loss"], rtol=1e-3)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] / 2


def test_output_has_static_shapes_for_any_size(trained):
    for shape in ((1, 48, 48, 1), (2, 64, 40, 1)):
        output = trained[0].predict_on_batch(np.zeros(shape, np.float32))
        assert output["boxes"].shape == (shape[0], 12, 4)
        assert output["masks"].shape == (shape[0], 12, 28, 28)
        assert output["missed"].shape == (shape[0],)
        assert output["scores"].shape == output["classes"].shape == (shape[0], 12)


def test_reloaded_model_gives_equal_output(trained, tmp_path):
    from helpers.saving import load_model, save_model

    save_model(trained[0], tmp_path, IMAGES[:1, ..., None])
    reloaded = load_model(tmp_path)
    assert reloaded.settings == SMALL
    for name, value in trained[0].predict_on_batch(IMAGES[..., None]).items():
        again = reloaded.predict_on_batch(IMAGES[..., None])[name]
        np.testing.assert_allclose(again, value, rtol=1e-5, atol=1e-5)


def test_caps_can_be_changed_after_training(trained):
    model = change_caps(trained[0], max_detections=2)
    with pytest.warns(UserWarning, match="max_detections"):
        assert segment_image(model, IMAGES[0]).max() <= 2
    assert change_caps(trained[0], max_detections=30, proposals=50).settings.max_detections == 30


def test_too_few_candidates_are_noticed(trained):
    assert trained[0].predict_on_batch(IMAGES[..., None])["missed"].max() == 0
    model = change_caps(trained[0], candidates=2)
    output = model.predict_on_batch(IMAGES[..., None])
    promising = np.sum(np.asarray(model.look(IMAGES[..., None])["logits"]) > 0, axis=1)
    np.testing.assert_array_equal(output["missed"], promising - 2)
    assert promising.min() > 2


def test_score_of_an_early_network_does_not_warn(trained, recwarn):
    model = change_caps(trained[0], max_detections=1)
    assert 0 <= DetectionAP(IMAGES, LABELS)(model)["val_ap"] < 1
    assert not [w for w in recwarn if "max_detections" in str(w.message)]


def test_tuned_rule_is_the_best_of_the_grid(trained):
    from helpers.maskrcnn.inference import detections_to_labels, find_objects

    found = [find_objects(trained[0], image) for image in IMAGES]
    rule = tune_rule(found, list(LABELS), grid={"score": (0.999, 0.5)}, min_area=5)
    assert rule == DetectionRule(score=0.5, min_area=5)
    assert detections_to_labels(found[0], LABELS[0].shape, rule).max() == 3


def test_heads_first_leaves_the_backbone_as_it_is():
    model = MaskRCNN(SMALL)
    set_trainable(model, Stage(1, 1e-3, "heads"))
    assert not model.backbone.trainable_weights and model.pyramid.trainable_weights
    set_trainable(model, Stage(1, 1e-3, batch_norm=False))
    kinds = {type(x).__name__ for x in model.backbone.layers if not x.trainable}
    assert kinds == {"BatchNormalization"} and model.backbone.trainable_weights


def test_best_weights_of_all_stages_win(tmp_path, monkeypatch):
    """Train nothing, but note what is loaded: the second of three stages is the best."""
    import pandas as pd

    from helpers.training import loop

    scores, asked, loaded = iter([0.3, 0.9, 0.5]), [], []

    def fit(model, batches, *, folder, epochs, **options):
        asked.append((folder.name, epochs, options["learning_rate_schedule"], batches(0)))
        return pd.DataFrame({"epoch": range(1, epochs + 1), "val_ap": next(scores)})

    monkeypatch.setattr(loop, "fit", fit)
    load = "load_best_weights"
    monkeypatch.setattr(loop, load, lambda model, where: loaded.append(where.name))
    stages = [Stage(2, 1e-3, "heads"), Stage(1, 1e-3), Stage(3, 1e-4, schedule=None)]
    history = train_stages(
        MaskRCNN(SMALL), lambda epoch: epoch, folder=tmp_path, stages=stages, steps_per_epoch=1
    )
    assert loaded == ["stage1", "stage2", "stage2"]
    assert [a[3] for a in asked] == [0, 2, 3]  # epochs count on, so no stage repeats a shuffle
    np.testing.assert_array_equal(history["epoch"], range(1, 7))
    np.testing.assert_array_equal(history["stage"], [1, 1, 2, 3, 3, 3])


def test_published_plan():
    assert sum(stage.epochs for stage in PUBLISHED_STAGES) == 200
    heads = [stage.layers for stage in PUBLISHED_STAGES]
    assert heads == ["heads"] * 3 + ["all"] * 3
    assert PUBLISHED.anchor_sizes == (8, 16, 32, 64, 128)
    assert Settings(**PUBLISHED.to_dict()) == PUBLISHED


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (dict(strides=(4, 16)), "begin with 2 or 4"),
        (dict(anchor_strides=(4, 8, 64)), "choose from"),
        (dict(anchor_sizes=(8,)), "one entry for each"),
        (dict(max_detections=0), "max_detections is 0"),
        (dict(max_detections=500), "proposals is 400, less than max_detections"),
        (dict(anchor_negative=0.8), "anchor_negative <= anchor_positive"),
    ],
)
def test_impossible_settings(numbers, message):
    with pytest.raises(ValueError, match=message):
        Settings(**numbers)


def test_impossible_stages(tmp_path):
    with pytest.raises(ValueError, match="layers is 'some'"):
        Stage(1, 1e-3, "some")
    with pytest.raises(ValueError, match="stages is empty"):
        train_stages(None, None, folder=tmp_path, stages=[], steps_per_epoch=1)


def test_published_optimizer():
    optimizer = schedule._make_optimizer(PUBLISHED_STAGES[0])
    assert (optimizer.momentum, optimizer.weight_decay, optimizer.clipnorm) == (0.9, 1e-4, 5.0)
