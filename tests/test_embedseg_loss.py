import keras
import numpy as np
import pytest
from keras import ops

from helpers.embedseg.loss import EmbedSegLoss
from helpers.embedseg.space import EmbeddingSpace

FLAT = EmbeddingSpace((1, 1), reach=20, radius=2)
DEEP = EmbeddingSpace((2.5, 0.5, 0.5), reach=10, radius=2)


def loop_loss(labels, centers, raw, space, *, frozen=None, n_slots=99):
    """Instance, variance and seed term of one crop by a plain loop over objects, float64.

    `frozen` is the raw output from which everything without a gradient is taken.
    """
    frozen = raw if frozen is None else frozen
    ndim = space.ndim
    place = space.positions(labels.shape)

    def fit(output, member, sigma):
        marked = np.argwhere(member & (centers > 0))
        center = place[tuple(marked[0])] if len(marked) == 1 else place[member].mean(axis=0)
        away = place + space.reach * np.tanh(output[..., :ndim]) - center
        width = space.radius / np.sqrt(np.log(2)) * np.exp(5) * np.exp(-5 * sigma)
        return np.exp(-((away / width) ** 2).sum(axis=-1))

    p = 1 / (1 + np.exp(-raw[..., -1]))
    seed = (p[labels == 0] ** 2).sum()
    instance, variance = [], []
    for k in sorted(set(labels[(labels > 0) & (labels <= n_slots)].tolist())):
        member = labels == k
        sigma = raw[..., ndim:-1]
        phi = fit(raw, member, sigma[member].mean(axis=0))
        instance.append(loop_lovasz(2 * phi - 1, member, labels >= 0))
        fixed_mean = frozen[..., ndim:-1][member].mean(axis=0)
        variance.append(((sigma[member] - fixed_mean) ** 2).mean())
        fixed_phi = fit(frozen, member, fixed_mean)
        seed += 10 * ((p - fixed_phi)[member] ** 2).sum()
    means = [np.mean(terms) if terms else 0 for terms in (instance, variance)]
    return np.array([*means, seed / max(1, (labels >= 0).sum())])


def loop_lovasz(logits, member, annotated):
    """Walk down the sorted errors and add up the losses of the Jaccard index as they come."""
    logits, member = logits[annotated], member[annotated]
    errors = 1 - logits * np.where(member, 1, -1)
    order = np.argsort(-errors, kind="stable")
    total, last, wrong = 0.0, 0.0, np.zeros(len(order), bool)
    for i in order:
        wrong[i] = True
        found = member ^ wrong
        jaccard = 1 - (found & member).sum() / (found | member).sum()
        total += max(errors[i], 0) * (jaccard - last)
        last = jaccard
    return total


def make_case(shape, space, *, seed=0):
    """A crop of three objects, one of them cut in two, unannotated pixels, and random output."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 1, 2, 3, -1], shape)
    centers = np.zeros(shape, int)
    for k in (1, 2):  # the third has none: its mean position is used
        centers[tuple(rng.permutation(np.argwhere(labels == k))[0])] = 1
    raw = rng.normal(0, 0.2, (*shape, space.n_channels))
    raw[..., space.ndim : -1] += 0.6
    return labels, centers, raw


def batch(*cases):
    labels, centers, raw = (np.stack(parts) for parts in zip(*cases, strict=True))
    return np.stack([labels, centers], axis=-1).astype("float32"), raw.astype("float32")


def evaluate(loss, target, raw):
    return np.stack([np.asarray(term) for term in loss.terms(target, raw).values()], axis=-1)


CASES = [((6, 7), FLAT), ((3, 4, 5), DEEP)]


@pytest.mark.parametrize(("shape", "space"), CASES)
def test_terms_equal_a_plain_loop_over_objects(shape, space):
    cases = [make_case(shape, space, seed=seed) for seed in (0, 1, 2)]
    loss = EmbedSegLoss(space, max_objects=5)
    found = evaluate(loss, *map(ops.convert_to_tensor, batch(*cases)))
    expected = [loop_loss(*case, space) for case in cases]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found.min() > 1e-3
    total = loss(*batch(*cases))
    assert float(total) == pytest.approx(np.mean(np.array(expected) @ [1, 10, 1]), rel=1e-5)


@pytest.mark.parametrize(("shape", "space"), CASES)
def test_gradients_equal_differences_of_the_plain_loop(shape, space):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the gradient is taken by TensorFlow")
    import tensorflow as tf

    labels, centers, raw = make_case(shape, space, seed=3)
    loss = EmbedSegLoss(space, max_objects=4)
    target, output = map(tf.constant, batch((labels, centers, raw)))
    with tf.GradientTape() as tape:
        tape.watch(output)
        value = loss(target, output)
    found = tape.gradient(value, output).numpy()[0]
    raw = output.numpy()[0].astype(float)
    expected, step = np.zeros(raw.shape), 1e-5
    for place in np.ndindex(raw.shape):
        moved = [raw.copy(), raw.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        high, low = (loop_loss(labels, centers, m, space, frozen=raw) for m in moved)
        expected[place] = (high - low) @ [1, 10, 1] / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert (np.abs(found).reshape(-1, raw.shape[-1]).max(axis=0) > 1e-3).all()


@pytest.mark.parametrize(("shape", "space"), CASES)
def test_the_pull_is_the_mean_distance_to_the_own_centre_in_radii(shape, space):
    labels, centers, raw = make_case(shape, space, seed=4)
    place = space.positions(shape)
    embedding = place + space.reach * np.tanh(raw[..., : space.ndim])
    away = []
    for k in (1, 2, 3):
        member = labels == k
        center = place[member & (centers > 0)][0] if k < 3 else place[member].mean(axis=0)
        away += ((embedding - center)[member] ** 2).sum(axis=-1).tolist()
    expected = np.sqrt(np.array(away) + min(space.spacing) ** 2).mean() / space.radius
    loss = EmbedSegLoss(space, max_objects=4, weights=(0, 0, 0, 0.5))
    target, output = map(ops.convert_to_tensor, batch((labels, centers, raw)))
    assert float(loss.terms(target, output)["pull"][0]) == pytest.approx(expected, rel=1e-5)
    assert float(loss(target, output)) == pytest.approx(expected / 2, rel=1e-5)
    assert float(loss(target * 0, output)) == 0  # no objects, nothing to pull


def test_far_pixels_feel_the_pull_and_not_the_instance_term():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the gradient is taken by TensorFlow")
    import tensorflow as tf

    labels, centers = np.zeros((2, 1, 80), int)
    labels[:], centers[0, 40] = 1, 1
    raw = np.zeros((1, 80, 5))
    raw[..., 2:4] = 1
    slopes = []
    for weights in ((1, 10, 1), (1, 10, 1, 1)):
        target, output = map(tf.constant, batch((labels, centers, raw)))
        with tf.GradientTape() as tape:
            tape.watch(output)
            value = EmbedSegLoss(FLAT, max_objects=1, weights=weights)(target, output)
        slopes.append(tape.gradient(value, output).numpy()[0, 0, 0, 1])
    assert abs(slopes[0]) < 1e-12 and slopes[1] < -0.01  # a larger offset lowers the loss


def test_unannotated_pixels_change_nothing():
    labels, centers, raw = make_case((6, 7), FLAT)
    target, output = batch((labels, centers, raw))
    loss = EmbedSegLoss(FLAT)
    value = float(loss(target, output))
    output[0][labels < 0] = 3.0
    assert float(loss(target, output)) == pytest.approx(value, rel=1e-6)
    output[0][labels == 0] -= 3.0
    assert float(loss(target, output)) != pytest.approx(value, rel=1e-2)


def test_a_crop_without_objects_has_the_background_term_alone():
    labels = np.zeros((4, 4), int)
    labels[0] = -1
    raw = np.random.default_rng(0).normal(size=(4, 4, 5))
    found = evaluate(EmbedSegLoss(FLAT), *batch((labels, labels * 0, raw)))
    p = 1 / (1 + np.exp(-raw[1:, :, -1]))
    np.testing.assert_allclose(found, [[0, 0, (p**2).mean()]], rtol=1e-5)
    nothing = evaluate(EmbedSegLoss(FLAT), *batch((labels * 0 - 1, labels * 0, raw)))
    np.testing.assert_array_equal(nothing, 0)


def test_objects_beyond_the_last_slot_only_keep_others_away():
    labels, centers, raw = make_case((6, 7), FLAT)
    found = evaluate(EmbedSegLoss(FLAT, max_objects=2), *batch((labels, centers, raw)))
    np.testing.assert_allclose(found, [loop_loss(labels, centers, raw, FLAT, n_slots=2)], rtol=1e-5)


def test_perfect_output_costs_nothing_and_every_fault_costs():
    labels = np.zeros((12, 12), int)
    labels[2:6, 2:6], labels[6:10, 2:11] = 1, 2
    centers, raw = np.zeros((12, 12), int), np.zeros((12, 12, 5))
    raw[..., 2:4] = 1.5
    raw[..., 4] = np.where(labels > 0, 20, -20)
    for k, center in ((1, (3, 3)), (2, (8, 6))):
        centers[center] = 1
        offset = np.array(center) - FLAT.positions((12, 12))
        raw[..., :2][labels == k] = np.arctanh(offset / FLAT.reach)[labels == k]
    raw[..., :2][labels == 0] = -0.9
    target, output = batch((labels, centers, raw))
    loss = EmbedSegLoss(FLAT)
    assert float(loss(target, output)) < 1e-5
    for channel, wrong in ((0, 0.0), (3, 2.0), (4, 0.0)):
        worse = output.copy()
        worse[0, 2:4, 2:6, channel] = wrong
        assert float(loss(target, worse)) > 1e-2


def test_phi_is_that_of_the_paper_on_a_grid_of_length_one():
    reach = 100.0
    space = EmbeddingSpace((1, 1), reach=reach, radius=reach * np.sqrt(np.log(2) * np.exp(-10)))
    rng = np.random.default_rng(0)
    place, sigma = rng.uniform(0, 1, (1, 5, 2)), rng.normal(0.5, 0.2, (1, 1, 2))
    center = rng.uniform(0, 1, (1, 1, 2))
    published = np.exp(-(np.exp(10 * sigma) * (place - center) ** 2).sum(-1))
    ours = EmbedSegLoss(space)._phi(place * reach, center * reach, ops.convert_to_tensor(sigma))
    np.testing.assert_allclose(ours[0], published, rtol=1e-5)


def test_space_decodes_what_the_loss_understands():
    raw = np.zeros((2, 3, 3, 7))
    raw[..., 1] = np.arctanh(0.5)
    raw[..., 3:6] = 1 + np.log(2) / 5
    embeddings, radii, seeds = DEEP.decode(raw)
    np.testing.assert_allclose(embeddings[1, 2, 1], [2.5, 1 + 5, 0.5])
    np.testing.assert_allclose(radii, 1)  # half of the 2 it starts from
    np.testing.assert_allclose(seeds, 0.5)


def test_loss_survives_saving_and_compiles():
    loss = EmbedSegLoss(DEEP, max_objects=3, foreground_weight=4)
    again = EmbedSegLoss.from_config(loss.get_config())
    assert again.space == DEEP
    labels, centers, raw = make_case((3, 4, 5), DEEP)
    arrays = batch((labels, centers, raw))
    assert float(again(*arrays)) == float(loss(*arrays))


@pytest.mark.parametrize("sides", [[(8, 8)], [(8, 8), (8, 16)]])
def test_compiled_training_lowers_the_loss_also_when_sizes_change(sides):
    def draw():
        while True:
            for shape in sides:
                labels = np.zeros((2, *shape, 2), np.int32)
                labels[:, 2:6, 2:6, 0], labels[:, 4, 4, 1] = 1, 1
                yield (labels[..., :1] > 0).astype("float32"), labels

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((None, None, 1)), keras.layers.Conv2D(5, 3, padding="same")]
    )
    model.compile(keras.optimizers.Adam(0.05), EmbedSegLoss(FLAT, max_objects=3))
    history = model.fit(draw(), epochs=6, steps_per_epoch=8, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EmbedSegLoss(FLAT, max_objects=0), "max_objects is 0"),
        (lambda: EmbedSegLoss(FLAT, weights=(1, 1)), "weights are .1, 1.: give those of"),
        (lambda: EmbeddingSpace((1, 0)), "two or three positive sizes"),
        (lambda: EmbeddingSpace((1, 1), radius=-1), "radius is -1"),
        (lambda: EmbeddingSpace.from_dict({"sapcing": (1, 1)}), "not those of an EmbeddingSpace"),
        (lambda: FLAT.decode(np.zeros((4, 4, 7))), "YXC with 5 channels"),
        (lambda: FLAT.decode(np.full((4, 4, 5), np.nan)), "the network has diverged"),
    ],
)
def test_impossible_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
