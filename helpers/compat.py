"""The only place where a dependency is mended for newer NumPy, Keras and pydantic.

``import helpers`` calls :func:`install`. From then on, the few modules listed in
:data:`PATCHES` get a small text replacement in their source while they are being imported.
NumPy and Keras themselves stay untouched, nothing is written to disk, and a package that is
never imported costs nothing. Each patch gives its reason; ``tests/test_compat.py`` fails with
"this patch can go" when the installed package no longer needs it.
"""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import decode_source
from types import CodeType, ModuleType
from typing import NamedTuple

__all__ = ["PATCHES", "Patch", "install", "legacy_checkpoint", "recompile"]


class Patch(NamedTuple):
    """One replacement in the source text of one module.

    Parameters
    ----------
    module
        Full name of the module, such as ``"imgaug.imgaug"``.
    old, new
        The text to replace, and what replaces it, wherever it stands in the module.
    reason
        Why the module fails without it.
    """

    module: str
    old: str
    new: str
    reason: str


_SCTYPES = "NumPy 2 removed np.sctypes"
_CHECKPOINT = "Keras 3 refuses weight files that do not end in .weights.h5, such as weights_now.h5"
_OPEN_SIZE = "Keras 3 asks for the output shape of images whose size is not fixed (None)"
_HANDLER = (
    "        info,  # pyright: ignore[reportArgumentType]  # taken from pydantic docs\n",
    "",
    "pydantic 2.14 refuses a handler's second argument that is no index, as its docs once had",
)
_DENSENET = "Keras 3 refuses '/' in layer names"

PATCHES = (
    Patch(
        "imgaug.imgaug",
        'np.sctypes["float"]',
        "(np.float16, np.float32, np.float64, np.longdouble)",
        _SCTYPES,
    ),
    Patch(
        "imgaug.imgaug",
        'np.sctypes["int"]',
        "(np.int8, np.int16, np.int32, np.int64)",
        _SCTYPES,
    ),
    Patch(
        "imgaug.imgaug",
        'np.sctypes["uint"]',
        "(np.uint8, np.uint16, np.uint32, np.uint64)",
        _SCTYPES,
    ),
    Patch(
        "imgaug.augmenters.geometric",
        "x_shifted, y_shifted, cv2.CV_16SC2,",
        "x_shifted.astype(np.float32), y_shifted.astype(np.float32), cv2.CV_16SC2,",
        "NumPy 2 promotes the shifts of an elastic deformation to float64, which OpenCV refuses",
    ),
    Patch("imgaug.parameters", "np.complex)", "complex)", "NumPy 1.24 removed np.complex"),
    Patch(
        "n2v.internals.N2V_DataWrapper",
        "np.product(",
        "np.prod(",
        "NumPy 2 removed np.product",
    ),
    Patch(
        "n2v.models.n2v_standard",
        "from tensorflow.keras.callbacks import ModelCheckpoint",
        "from helpers.compat import legacy_checkpoint as ModelCheckpoint",
        _CHECKPOINT,
    ),
    Patch(
        "n2v.models.n2v_standard",
        "import suppress_without_basedir",
        "import suppress_without_basedir, _keras3_monkey_patch_legacy_weights",
        _CHECKPOINT,
    ),
    Patch(
        "n2v.models.n2v_standard",
        "self.keras_model = self._build()",
        "self.keras_model = self._build(); _keras3_monkey_patch_legacy_weights(self.keras_model)",
        _CHECKPOINT,
    ),
    Patch(
        "n2v.models.n2v_standard",
        "self.callbacks.append(CARETensorBoardImage(",
        "if self.config.train_tensorboard: self.callbacks.append(CARETensorBoardImage(",
        "it writes TensorBoard images even when train_tensorboard is False",
    ),
    Patch(
        "n2v.nets.blurpool",
        "int(np.ceil(input_shape[1] / 2)),",
        "None if input_shape[1] is None else int(np.ceil(input_shape[1] / 2)),",
        _OPEN_SIZE,
    ),
    Patch(
        "n2v.nets.blurpool",
        "int(np.ceil(input_shape[2] / 2)),",
        "None if input_shape[2] is None else int(np.ceil(input_shape[2] / 2)),",
        _OPEN_SIZE,
    ),
    Patch(
        "csbdeep.utils.plot_utils",
        "nonposy='clip'",
        "nonpositive='clip'",
        "Matplotlib 3.5 removed nonposy, so plot_history(logy=True) fails",
    ),
    Patch(
        "segmentation_models",
        "_DEFAULT_KERAS_FRAMEWORK = _KERAS_FRAMEWORK_NAME",
        "_DEFAULT_KERAS_FRAMEWORK = _TF_KERAS_FRAMEWORK_NAME",
        "its default framework 'keras' needs keras.utils.generic_utils, gone in Keras 3",
    ),
    Patch(
        "segmentation_models.utils",
        """\
        model.compile(
            model.optimizer,
            loss=model.loss,
            metrics=model.metrics,
            loss_weights=model.loss_weights,
            sample_weight_mode=model.sample_weight_mode,
            weighted_metrics=model.weighted_metrics,
        )
""",
        """\
        from helpers.compat import recompile
        recompile(model)
""",
        "a Keras 3 model has no loss_weights or sample_weight_mode, so set_trainable fails",
    ),
    Patch("keras_applications.densenet", "'conv1/", "'conv1_", _DENSENET),
    Patch("bioimageio.spec._internal.io_packaging", *_HANDLER),
    Patch("bioimageio.spec.model.v0_4", *_HANDLER),
)

_PATCHED_MODULES = {patch.module for patch in PATCHES}


def install() -> None:
    """Get ready to mend the modules of :data:`PATCHES` when they are imported.

    ``import helpers`` does this; calling it again changes nothing. It also keeps TensorFlow's
    messages about the hardware, and its warnings that a network meets a new image size, out
    of the notebook; what fails still raises an exception. To see the former, for instance to find
    out why a GPU is not used, set the environment variable ``TF_CPP_MIN_LOG_LEVEL=0``: a value
    that is already set is kept.

    Warns
    -----
    RuntimeWarning
        If one of the modules was imported before: it then runs unmended.
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").addFilter(_is_no_retracing)
    sys.meta_path.insert(0, _Finder())
    late = sorted(_PATCHED_MODULES & sys.modules.keys())
    if late:
        warnings.warn(
            f"{', '.join(late)} was imported before helpers, so it could not be adapted to "
            "NumPy 2 and Keras 3. Restart the kernel and put 'import helpers' first.",
            RuntimeWarning,
            stacklevel=2,
        )


def _is_no_retracing(record: logging.LogRecord) -> bool:
    # After a few image sizes TensorFlow prepares for all sizes at once: nothing to mend.
    return "retracing" not in str(record.msg)


class _Finder(MetaPathFinder):
    """Gives the modules named here another loader; all others go their usual way."""

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:
        if fullname not in _PATCHED_MODULES and fullname != "tensorflow":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            loader = _QuietLoader if fullname == "tensorflow" else _PatchingLoader
            spec.loader = loader(fullname, spec.loader.path)
        return spec


class _PatchingLoader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        # Compiles anew each time: a cached .pyc would be used by, or come from, unpatched runs.
        path = self.get_filename(fullname)
        source = decode_source(self.get_data(path))
        for patch in PATCHES:
            if patch.module == fullname:
                source = source.replace(patch.old, patch.new)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return self.source_to_code(source, path)


class _QuietLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        with _filtered_stderr():
            super().exec_module(module)


# Written by TensorFlow's C++ code before it reads TF_CPP_MIN_LOG_LEVEL.
_STARTUP_NOISE = (b"oneDNN custom operations are on", b"before absl::InitializeLog()")


@contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Hold back what C++ code writes to stderr, and pass on all but the start-up noise."""
    import tempfile

    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            for line in held:
                if not any(noise in line for noise in _STARTUP_NOISE):
                    os.write(2, line)


def legacy_checkpoint(filepath: str, **options):
    """Make a checkpoint callback for a model that can save under any name.

    Parameters
    ----------
    filepath
        Weight file, such as ``weights_best.h5``, in a model of csbdeep or n2v.
    **options
        Passed on to :class:`keras.callbacks.ModelCheckpoint`.

    Returns
    -------
    keras.callbacks.ModelCheckpoint

    Notes
    -----
    Keras 3 checks the ending only when the callback is made. csbdeep 0.8.2 uses the same way
    for its own models.
    """
    from keras.callbacks import ModelCheckpoint

    callback = ModelCheckpoint(f"{filepath}.weights.h5", **options)
    callback.filepath = filepath
    return callback


def recompile(model) -> None:
    """Compile a Keras model again as it was, after layers were frozen or unfrozen.

    Parameters
    ----------
    model : keras.Model
        A compiled model; weights stay as they are.

    Raises
    ------
    ValueError
        If the model was never compiled.

    Notes
    -----
    The optimizer starts afresh with the same settings: its memory (momentum, iterations)
    belongs to the variables that were trainable before.
    """
    if not model.compiled:
        raise ValueError("model has not been compiled yet: call model.compile(...) first.")
    # Keras offers these settings only in serialised form, which loses custom losses.
    settings = dict(model._compile_config.config)
    settings["optimizer"] = type(model.optimizer).from_config(model.optimizer.get_config())
    model.compile(**settings)
