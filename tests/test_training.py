import importlib.util
import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from helpers.storage import write_whole
from helpers.training import (
    cosine_learning_rate,
    count_images,
    fit,
    load_best_weights,
    load_model,
    package_training,
    read_history,
    remaining_epochs,
    save_model,
    shorten_batch_norm_memory,
    training_callbacks,
)
from helpers.training.state import TrainingFiles, best_row

keras = pytest.importorskip("keras")

TRAIN = """
import sys, time
import numpy as np
import helpers
from helpers.training import fit

def make_model():
    import keras
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, "relu"), layers.Dropout(0.3), layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model

def batches(epoch, pause=0.0):
    rng = np.random.default_rng([7, epoch])
    while True:
        time.sleep(pause)
        x = rng.normal(size=(8, 4)).astype("float32")
        yield x, x.sum(axis=1, keepdims=True)

def validate(model):
    x = np.linspace(-1, 1, 20, dtype="float32").reshape(5, 4)
    return {"error": np.abs(model.predict(x, verbose=0) - x.sum(axis=1, keepdims=True)).mean()}

def train(folder, pause=0.0, epochs=6, **options):
    model = make_model()
    options = {"validate": validate, "monitor": "error", "mode": "min", **options}
    history = fit(model, lambda epoch: batches(epoch, pause), folder=folder, epochs=epochs,
                  steps_per_epoch=4, **options)
    return model, history

if __name__ == "__main__":
    train(sys.argv[1], pause=0.05)
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "train_script.py"
    path.write_text(TRAIN)
    spec = importlib.util.spec_from_file_location("train_script", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def whole_run(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    model, history = script.train(folder)
    return model, history, folder


def count_epochs(folder):
    path = folder / "history.csv"
    return len(path.read_text().splitlines()) - 1 if path.exists() else 0


def test_training_resumes_exactly_after_kill(script, whole_run, tmp_path, capsys):
    child = subprocess.Popen([sys.executable, script.__file__, str(tmp_path)])
    deadline = time.monotonic() + 120
    while count_epochs(tmp_path) < 3 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.08)  # into the next epoch, which takes at least 4 x 0.05 s
    child.kill()
    assert child.wait() != 0
    kept = remaining_epochs(tmp_path, 6)
    assert kept in (2, 3)

    model, history = script.train(tmp_path)
    reference, whole_history, folder = whole_run
    assert f"going on after epoch {6 - kept}" in capsys.readouterr().out
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    pd.testing.assert_frame_equal(
        history.drop(columns="seconds"), whole_history.drop(columns="seconds")
    )
    for ours, theirs in zip(model.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    last, other = (TrainingFiles(f).load_state()[1] for f in (tmp_path, folder))
    for ours, theirs in zip(last, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_finished_training_is_loaded_not_repeated(script, whole_run, capsys):
    reference, whole_history, folder = whole_run
    model, history = script.train(folder)
    assert "already trained" in capsys.readouterr().out
    pd.testing.assert_frame_equal(history, whole_history)
    for ours, theirs in zip(model.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_model_ends_with_the_weights_of_the_best_epoch(script, whole_run):
    model, history, folder = whole_run
    assert script.validate(model)["error"] == pytest.approx(history["error"].min())
    fresh = script.make_model()
    load_best_weights(fresh, folder)
    assert script.validate(fresh)["error"] == pytest.approx(history["error"].min())


def test_learning_rate_follows_the_cosine(whole_run):
    # 24 steps, warm-up of 24 // 20 = 1 step, so after step n: cosine at (n - 1) / 23
    _, history, _ = whole_run
    steps = 4 * history["epoch"] - 1
    expected = 0.01 * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * steps / 23)))
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-4)


def test_early_stop_keeps_the_best_and_stays_stopped(script, tmp_path, capsys):
    scores = iter([0.5, 0.4, 0.6, 0.6, 0.5, 0.9])
    options = {"validate": lambda model: {"error": next(scores)}, "patience": 2}
    _, history = script.train(tmp_path, **options)
    assert history["error"].tolist() == [0.5, 0.4, 0.6, 0.6]
    assert "stopped: error was best in epoch 2" in capsys.readouterr().out
    assert remaining_epochs(tmp_path, 6) == 0
    _, again = script.train(tmp_path, **options)
    assert len(again) == 4


def test_unreadable_state_falls_back_to_the_epoch_before(script, tmp_path, capsys):
    script.train(tmp_path, epochs=3)
    state = tmp_path / "model" / "state.npz"
    state.write_bytes(state.read_bytes()[:200])
    assert remaining_epochs(tmp_path, 3) == 1
    assert "state.npz cannot be read" in capsys.readouterr().out
    _, history = script.train(tmp_path, epochs=3)
    assert history["epoch"].tolist() == [1, 2, 3]


def test_interrupted_write_keeps_the_earlier_file(tmp_path):
    path = tmp_path / "state.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), write_whole(path) as part:
        part.write_text("ha")
        raise RuntimeError
    assert path.read_text() == "old"


def test_resume_false_starts_anew(script, tmp_path):
    script.train(tmp_path, epochs=2)
    _, history = script.train(tmp_path, epochs=1, resume=False)
    assert history["epoch"].tolist() == [1]


def test_errors_say_what_to_mend(script, whole_run, tmp_path):
    folder = whole_run[2]
    with pytest.raises(ValueError, match="monitor='error', now it is 'loss'"):
        script.train(folder, monitor="loss")
    with pytest.raises(ValueError, match="monitor is 'ap_50', which is not measured: .*error"):
        script.train(tmp_path, monitor="ap_50", epochs=1)
    with pytest.raises(ValueError, match="mode is 'best': choose one of"):
        script.train(tmp_path, mode="best")
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    other.compile("adam", "mse")
    with pytest.raises(ValueError, match="state of another model"):
        fit(other, script.batches, folder=folder, epochs=9, steps_per_epoch=4, monitor="error",
            mode="min")  # fmt: skip
    with pytest.raises(Exception, match=r"batches\(0\) gave 2 batches, but steps_per_epoch is 4"):
        few = [(np.ones((1, 4)), np.ones((1, 1)))] * 2
        fit(other, lambda epoch: few, folder=tmp_path, epochs=1, steps_per_epoch=4,
            monitor="loss")  # fmt: skip


def test_nan_loss_stops_and_keeps_the_epochs_before(script, tmp_path):
    def batches(epoch):
        x, y = next(script.batches(epoch))
        return [(x, y * (np.nan if epoch == 1 else 1))]

    with pytest.raises(ValueError, match="loss is nan in epoch 2: lower the learning rate"):
        fit(script.make_model(), batches, folder=tmp_path, epochs=3, steps_per_epoch=1,
            monitor="loss")  # fmt: skip
    assert len(read_history(tmp_path)) == 1


def test_package_training_adds_resume_and_hides_bars(script, tmp_path, capsys):
    class Package:
        """Trains as stardist does: fit of the inner network, from epoch 0, with bars."""

        def __init__(self):
            self.keras_model = script.make_model()

        def train(self, epochs):
            data = iter(script.batches(0))
            x, y = next(script.batches(99))
            return self.keras_model.fit(
                data, validation_data=(x, y), epochs=epochs, steps_per_epoch=2, callbacks=[],
                verbose=1,
            )  # fmt: skip

    for epochs in (2, 3):
        package = Package()
        own_fit = package.keras_model.fit
        with package_training(package.keras_model, folder=tmp_path):
            package.train(epochs)
        assert package.keras_model.fit == own_fit
    history = read_history(tmp_path)
    assert history["epoch"].tolist() == [1, 2, 3]
    assert {"loss", "val_loss", "learning_rate", "seconds"} <= set(history.columns)
    output = capsys.readouterr().out
    assert "going on after epoch 2" in output
    assert "━" not in output and "step" not in output


def test_plateau_callback_of_a_package_is_refused(script, tmp_path):
    model = script.make_model()
    plateau = keras.callbacks.ReduceLROnPlateau()
    with (
        package_training(model, folder=tmp_path),
        pytest.raises(ValueError, match="train_reduce_lr=None"),
    ):
        model.fit(np.ones((2, 4)), np.ones((2, 1)), callbacks=[plateau])


def test_callbacks_serve_a_plain_keras_fit(script, tmp_path):
    model = script.make_model()
    x, y = next(script.batches(0))
    for epochs in (1, 2):
        callbacks = training_callbacks(
            tmp_path, total_epochs=epochs, monitor="loss", learning_rate_schedule=None
        )
        model.fit(x, y, epochs=remaining_epochs(tmp_path, epochs), callbacks=callbacks, verbose=0)
    history = read_history(tmp_path)
    assert history["epoch"].tolist() == [1, 2]
    np.testing.assert_allclose(history["learning_rate"], 0.01)


def test_cosine_learning_rate_by_hand():
    rate = cosine_learning_rate(1.0, 40)  # 2 steps up, 38 steps down
    values = [float(rate(step)) for step in (0, 1, 2, 21, 40)]
    np.testing.assert_allclose(values, [0.01, 0.505, 1.0, 0.505, 0.01], atol=1e-6)


def test_images_are_counted_by_their_pixels():
    images = [np.zeros((2, 5)), np.zeros((3, 5)), np.zeros((1, 5))]
    assert [count_images(images, n) for n in (1, 10, 24, 25, 30, 99)] == [1, 1, 1, 2, 3, 3]


def test_batch_norm_memory_is_shortened():
    import keras

    layers = keras.layers
    network = keras.Sequential([layers.Input((4,)), layers.BatchNormalization(), layers.Dense(2)])
    network.build()
    shorten_batch_norm_memory(network, 0.8)
    assert network.layers[0].momentum == 0.8


def test_best_row_ignores_nan():
    rows = [{"s": float("nan")}, {"s": 0.2}, {"s": 0.1}]
    assert best_row(rows, "s", "max") == {"s": 0.2}
    assert best_row(rows, "s", "min") == {"s": 0.1}
    assert best_row(rows[:1], "s", "min") is None


def test_progress_prints_at_most_ten_lines(capsys):
    from helpers.training.progress import Progress

    progress = Progress(35)
    for epoch in range(1, 36):
        progress.show(epoch, f"epoch {epoch}")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0] == "epoch 4" and lines[-1] == "epoch 35"


def test_progress_in_a_notebook_is_one_output():
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    code = (
        "from helpers.training.progress import Progress\n"
        "progress = Progress(35)\n"
        "for epoch in range(1, 35): progress.show(epoch, f'epoch {epoch}')"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    lines = output["data"]["text/plain"].splitlines()
    # the tenths done so far (35 epochs: 4, 7, ... 32), and below them the epoch at hand
    assert lines == [f"epoch {n}" for n in (4, 7, 11, 14, 18, 21, 25, 28, 32, 34)]


def test_saved_model_gives_equal_output(script, tmp_path):
    model = script.make_model()
    example = next(script.batches(0))[0]
    assert save_model(model, tmp_path, example) == tmp_path
    np.testing.assert_array_equal(
        load_model(tmp_path).predict(example, verbose=0), model.predict(example, verbose=0)
    )


def test_changed_weights_are_noticed(script, tmp_path):
    save_model(script.make_model(), tmp_path, np.ones((1, 4), "float32"))
    model = load_model(tmp_path)
    model.set_weights([w + 0.1 for w in model.get_weights()])
    model.save_weights(tmp_path / "model.weights.h5", overwrite=True)
    with pytest.raises(ValueError, match="gives another output than when it was saved"):
        load_model(tmp_path)
    (tmp_path / "example.npz").unlink()
    with pytest.raises(FileNotFoundError, match="example.npz is missing: save the model again"):
        load_model(tmp_path)


def test_lambda_layers_are_refused(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x * 2, name="two")])
    with pytest.raises(ValueError, match=r"Lambda layers \(two\)"):
        save_model(model, tmp_path, np.ones((1, 2)))


def test_state_runs_no_code(tmp_path):
    # a pickled object in the file must be refused, not loaded
    files = TrainingFiles(tmp_path)
    files.state.parent.mkdir()
    np.savez(files.state, facts=np.array(json.dumps({})), v0=np.array([object()], dtype=object))
    assert files.load_state() == (None, [])
