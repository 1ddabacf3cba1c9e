"""Patches lie where they should, and every epoch can be repeated."""

from itertools import islice

import numpy as np
import pytest

from helpers.augment.sampling import (
    PatchSampler,
    drop_cut_objects,
    patch_batches,
    supervised_batches,
)


def corner_mask(shape=(40, 40)):
    mask = np.zeros(shape, np.uint8)
    mask[(slice(20, 24),) * len(shape)] = 255
    return mask


def draw_boxes(sampler, n=400, seed=0):
    rng = np.random.default_rng(seed)
    return [sampler.draw(rng) for _ in range(n)]


def centres_on(mask, sampler, n=400):
    """Share of the patches whose centre pixel is foreground."""
    hits = []
    for _, box in draw_boxes(sampler, n):
        centre = tuple(s.start + (s.stop - s.start) // 2 for s in box)
        hits.append(mask[centre] > 0)
    return np.mean(hits)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.94, 1.0])
@pytest.mark.parametrize("shape", [(40, 40), (40, 40, 40)])
def test_the_wanted_share_of_patches_is_centred_on_foreground(share, shape):
    mask = corner_mask(shape)
    sampler = PatchSampler([mask], (8,) * len(shape), foreground=share)
    assert centres_on(mask, sampler) == pytest.approx(share, abs=0.08)  # 3 standard errors: 0.07


def test_uniform_places_reach_every_corner_equally():
    sampler = PatchSampler([np.zeros((5, 5))], (4, 4), foreground=None)
    starts = [tuple(s.start for s in box) for _, box in draw_boxes(sampler)]
    counts = [starts.count(start) for start in [(0, 0), (0, 1), (1, 0), (1, 1)]]
    assert sum(counts) == 400 and min(counts) > 70


def test_masks_without_foreground_and_without_background_are_no_trap():
    for value in (0, 1):
        sampler = PatchSampler([np.full((6, 6), value)], (3, 3), foreground=0.5)
        assert {box[0].start for _, box in draw_boxes(sampler)} == {0, 1, 2, 3}


def test_patches_stay_inside_and_large_images_come_more_often():
    masks = [corner_mask((40, 40)), np.ones((40, 120))]
    drawn = draw_boxes(PatchSampler(masks, (32, 16)))
    for number, box in drawn:
        assert [s.stop - s.start for s in box] == [32, 16]
        assert all(
            0 <= s.start and s.stop <= n for s, n in zip(box, masks[number].shape, strict=True)
        )
    assert np.mean([number for number, _ in drawn]) == pytest.approx(0.75, abs=0.07)


def test_objects_at_the_border_are_dropped_slice_by_slice():
    mask = np.zeros((3, 8, 8), int)
    mask[:, 3:5, 3:5] = 1  # touches the first and the last slice, but no border in its plane
    mask[1, 0:2, 6] = 1
    mask[2, 2, 2] = 1  # one corner apart from the first object: the same object
    inner = drop_cut_objects(mask)
    assert inner.sum() == 3 * 4 + 1
    assert not inner[1, 0:2, 6].any()
    assert drop_cut_objects(mask[1]).sum() == 4


def make_batches(**options):
    rng = np.random.default_rng(1)
    masks = [(rng.random((12, 16)) > 0.8).astype(np.int32) * 255 for _ in range(2)]
    images = [mask.astype(np.float32) for mask in masks]
    return patch_batches(images, masks, patch_shape=(8, 8), batch_size=3, **options)


def test_batches_have_image_and_mask_of_one_place():
    for x, y in islice(make_batches()(0), 5):
        assert x.shape == y.shape == (3, 8, 8, 1)
        assert (x.dtype, y.dtype) == (np.float32, np.uint8)
        assert set(np.unique(y)) <= {0, 1}
        assert ((x > 0) == y).all()


def test_an_epoch_is_repeated_exactly_and_others_differ():
    batches = make_batches(seed=3)
    first, again, other = (next(iter(batches(epoch)))[0] for epoch in (4, 4, 5))
    assert (first == again).all() and (first != other).any()
    assert (first != next(iter(make_batches(seed=4)(4)))[0]).any()


def test_augmentation_and_target_are_used():
    def negate(image, mask, rng):
        return -image, 1 - mask

    def with_weights(mask):
        return np.stack([mask, 2.0 * mask], axis=-1)

    x, y = next(make_batches(augment=negate, target=with_weights)(0))
    assert y.shape == (3, 8, 8, 2)
    assert ((x[..., 0] < 0) == (y[..., 0] == 0)).all()
    assert (y[..., 1] == 2 * y[..., 0]).all()


def test_deep_supervision_gets_a_target_for_each_output():
    pytest.importorskip("keras")
    from helpers.unets import build_unet

    model = build_unet("mnet", filters=2, depth=2)
    x, y = next(supervised_batches(make_batches(), model)(0))
    assert sorted(y) == sorted(model.output)
    assert (y["main"] == next(make_batches()(0))[1]).all()
    plain = build_unet("unet", filters=2, depth=1)
    assert isinstance(next(supervised_batches(make_batches(), plain)(0))[1], np.ndarray)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PatchSampler([], (4, 4)), "masks is empty"),
        (lambda: PatchSampler([np.zeros((3, 9))], (4, 4)), r"shape \(3, 9\), smaller than"),
        (lambda: PatchSampler([np.zeros((3, 9, 9))], (4, 4)), "2D patches of a volume"),
        (lambda: PatchSampler([np.zeros((9, 9))], (4, 4), foreground=94), "share from 0 to 1"),
        (
            lambda: patch_batches(
                [np.zeros((9, 9))], [np.zeros((9, 8))], patch_shape=(4, 4), batch_size=1
            ),
            "same shapes",
        ),
    ],
)
def test_errors_say_what_to_mend(call, message):
    with pytest.raises(ValueError, match=message):
        call()
