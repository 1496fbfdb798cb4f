"""Import Keras with its torch backend, which is chosen once per process, at the first import."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from pocketpress.core.errors import MissingExtraError, SourceError

VARIABLE = "KERAS_BACKEND"
NEEDED = ("keras", "h5py")
OLDEST = 3


def import_keras() -> ModuleType:
    """Keras 3 on torch.  The environment is as before afterwards.

    Raises:
        MissingExtraError: Keras or h5py is not installed.
        SourceError: this process has imported Keras with another backend, or an older Keras.
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "torch"  # has no effect on a Keras that is imported already
    try:
        keras, _ = (importlib.import_module(name) for name in NEEDED)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "Keras files need keras and h5py",
            got=f"no module {error.name}",
            next_step="run: pip install 'pocketpress[keras]'",
        ) from error
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
    _check(keras)
    return keras


def _check(keras: ModuleType) -> None:
    version = str(getattr(keras, "__version__", "0"))
    if int(version.split(".")[0]) < OLDEST:
        raise SourceError(
            "Keras is too old", got=version, allowed="3 or newer", next_step="run: pip install -U keras"
        )
    backend = keras.config.backend()
    if backend != "torch":
        raise SourceError(
            "Keras runs on another backend in this process",
            got=backend,
            allowed="torch",
            next_step=f"set {VARIABLE}=torch before keras is imported, or use the command line",
        )
