"""What happens around each epoch: validate, keep the best, save the state, tell the user."""

import math
import time

from helpers.training.progress import Progress
from helpers.training.state import TrainingFiles, best_row

__all__ = ["Keeper", "cosine_learning_rate"]


def cosine_learning_rate(peak: float, total_steps: int):
    """Make a learning rate that rises for a twentieth of the steps and then falls.

    Parameters
    ----------
    peak
        The highest value.
    total_steps
        Optimizer steps of the whole training.

    Returns
    -------
    keras.optimizers.schedules.CosineDecay

    Notes
    -----
    Linear from 1 % to 100 % of the peak, then half a cosine wave down to 1 %. Loshchilov and
    Hutter 2017, "SGDR", without restarts.
    """
    from keras.optimizers.schedules import CosineDecay

    warmup = total_steps // 20
    return CosineDecay(
        peak / 100 if warmup else peak,
        max(1, total_steps - warmup),
        alpha=0.01,
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )


class Keeper:
    """Keeps a training on disk; Keras calls it through the callback it makes.

    The parameters are those of :func:`helpers.training.training_callbacks`.
    """

    def __init__(
        self,
        folder,
        total_epochs,
        *,
        validate=None,
        monitor="val_loss",
        mode=None,
        patience=None,
        learning_rate_schedule="cosine",
        resume=True,
    ):
        _check_choice("mode", mode, (None, "min", "max"))
        _check_choice("learning_rate_schedule", learning_rate_schedule, (None, "cosine"))
        self.files = TrainingFiles(folder)
        self.total_epochs = total_epochs
        self.validate = validate
        self.monitor = monitor
        self.mode = mode or ("min" if "loss" in monitor else "max")
        self.patience = patience
        self.schedule = learning_rate_schedule
        self.progress = Progress(total_epochs)
        if not resume:
            self.files.clear()
        facts, self._arrays = self.files.load_state()
        self.rows = facts["rows"] if facts else []
        self._check_settings(facts)
        self.first_epoch = len(self.rows)
        if facts and facts["stopped"]:
            self.first_epoch = total_epochs

    def callback(self):
        """Make the Keras callback; call this once."""
        from keras.callbacks import LambdaCallback

        self._callback = LambdaCallback(
            on_train_begin=self._begin,
            on_epoch_begin=self._start_clock,
            on_epoch_end=self._end_epoch,
            on_train_end=self._end,
        )
        return self._callback

    @property
    def model(self):
        """The model in training. Asking for it brings its variables up to date (JAX)."""
        return self._callback.model

    def refuse_plateaus(self, callbacks) -> None:
        """Raise ValueError if one of the callbacks would fight with the cosine schedule."""
        from keras.callbacks import ReduceLROnPlateau

        if self.schedule and any(isinstance(c, ReduceLROnPlateau) for c in callbacks or ()):
            raise ValueError(
                "the package lowers the learning rate on plateaus, and learning_rate_schedule is "
                "'cosine': give train_reduce_lr=None in its config, or learning_rate_schedule=None."
            )

    def _check_settings(self, facts: dict | None) -> None:
        for name, now in (("monitor", self.monitor), ("mode", self.mode)):
            if facts and facts[name] != now:
                raise ValueError(
                    f"{self.files.state} is a training with {name}={facts[name]!r}, now it is "
                    f"{now!r}: give resume=False to start anew, or another folder."
                )

    def _variables(self) -> list:
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        return [*self.model.variables, *optimizer.variables]

    def _begin(self, logs=None) -> None:
        self._set_schedule()
        if not self.rows:
            return
        variables = self._variables()
        if [tuple(v.shape) for v in variables] != [a.shape for a in self._arrays]:
            raise ValueError(
                f"{self.files.state} is the state of another model or optimizer: give "
                "resume=False to start anew, or another folder."
            )
        for variable, array in zip(variables, self._arrays, strict=True):
            variable.assign(array)
        self.files.save_history(self.rows)
        print(f"going on after epoch {len(self.rows)}" if self._has_more() else "already trained")

    def _has_more(self) -> bool:
        return self.first_epoch < self.total_epochs

    def _set_schedule(self) -> None:
        from keras.optimizers.schedules import LearningRateSchedule

        optimizer, steps = self.model.optimizer, self._callback.params["steps"]
        given = getattr(optimizer, "_learning_rate", None)
        if self.schedule is None or isinstance(given, LearningRateSchedule):
            return
        if steps is None:
            raise ValueError("learning_rate_schedule='cosine' needs steps_per_epoch: give both.")
        peak = float(optimizer.learning_rate)
        optimizer.learning_rate = cosine_learning_rate(peak, steps * self.total_epochs)
        self.model.make_train_function(force=True)  # an earlier fit may have kept the old rate

    def _start_clock(self, epoch, logs=None) -> None:
        self._started = time.perf_counter()

    def _end_epoch(self, epoch, logs=None) -> None:
        row = self._make_row(logs or {})
        self._check_row(row)
        self.rows.append(row)
        best = best_row(self.rows, self.monitor, self.mode)
        if best is row or not self.files.best.exists():
            self.files.save_best(self.model)
        late = len(self.rows) - (best["epoch"] if best else 0)
        stopped = self.patience is not None and late >= self.patience
        facts = {"monitor": self.monitor, "mode": self.mode, "stopped": stopped, "rows": self.rows}
        self.files.save_state(facts, self._variables())
        self.progress.show(row["epoch"], self._describe(row, best))
        if stopped:
            self.model.stop_training = True
            print(f"stopped: {self.monitor} was best in epoch {best['epoch'] if best else 0}")

    def _make_row(self, logs: dict) -> dict:
        scores = self.validate(self.model) if self.validate else {}
        row = {"epoch": len(self.rows) + 1, **logs, **scores}
        row["learning_rate"] = self.model.optimizer.learning_rate
        row = {name: float(value) for name, value in row.items()}
        seconds = round(time.perf_counter() - self._started, 2)
        return {**row, "epoch": len(self.rows) + 1, "seconds": seconds}

    def _check_row(self, row: dict) -> None:
        if self.monitor not in row:
            raise ValueError(
                f"monitor is {self.monitor!r}, which is not measured: choose one of "
                f"{', '.join(row)}, or let validate return it."
            )
        if not math.isfinite(row.get("loss", 0)):
            raise ValueError(
                f"the loss is {row['loss']} in epoch {row['epoch']}: lower the learning rate, and "
                "check the images for NaN. The epochs before it are kept."
            )

    def _describe(self, row: dict, best: dict | None) -> str:
        past = row["seconds"] * (self.total_epochs - row["epoch"])
        names = dict.fromkeys(name for name in ("loss", "val_loss", self.monitor) if name in row)
        values = "  ".join(f"{name} {row[name]:.4g}" for name in names)
        top = f"best {best[self.monitor]:.4g} in epoch {best['epoch']}" if best else "no best yet"
        left = f"about {past:.0f} s left" if past < 90 else f"about {past / 60:.0f} min left"
        return f"epoch {row['epoch']}/{self.total_epochs}  {values}  ({top})  {left}"

    def _end(self, logs=None) -> None:
        if self.files.best.exists():
            self.files.load_best(self.model)


def _check_choice(name: str, value: object, choices: tuple) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}: choose one of {', '.join(map(repr, choices))}.")
