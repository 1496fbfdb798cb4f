"""Open whatever the user named as data."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl

from pocketpress.core.errors import DataError, MissingExtraError
from pocketpress.core.signature import Preprocessing, Signature
from pocketpress.data.callable import open_callable
from pocketpress.data.dataset import Dataset, Reader
from pocketpress.data.folder import open_folder
from pocketpress.data.npz import open_npz
from pocketpress.data.preprocessing import complete
from pocketpress.data.user_code import is_function_name

ALLOWED = "a folder of images, a .npz, a .parquet, module:function or path/to/file.py:function"


def load_dataset(spec: str, signature: Signature, preprocessing: Preprocessing | None = None) -> Dataset:
    """Open data for a network.

    Args:
        spec: a folder of (class folders of) images, ``FILE.npz``, ``FILE.parquet`` (with
            ``?image=COLUMN&label=COLUMN`` to name columns), ``module:function`` or ``file.py:function``.
        signature: of the network, which the samples must fit; with states samples are sequences (`Sample`).
        preprocessing: applied to images, and to uint8 arrays of ``.npz`` and functions.  None means, for
            folders and ``.parquet``, "resize to the network's input, pixels in [0, 1]", and for the others
            that they give finished inputs.

    Raises:
        DataError: the data is missing, malformed, empty or does not fit.
    """
    if not signature.inputs:
        raise DataError("the network takes no inputs")
    path_text, _, query = spec.partition("?")
    path, suffix = Path(path_text), Path(path_text).suffix.lower()
    if signature.states and (path.is_dir() or suffix == ".parquet"):
        raise DataError(
            "a network with state takes sequences, not single images",
            got=spec,
            next_step="give a .npz of arrays (samples, steps, ...), or module:function",
        )
    if path.is_dir():
        prep = _image_preprocessing(signature, preprocessing)
        return Dataset(spec, "folder", signature, prep, open_folder(path, len(prep.mean)))
    if suffix == ".parquet":
        prep = _image_preprocessing(signature, preprocessing)
        return Dataset(spec, "parquet", signature, prep, _parquet(_existing(path), len(prep.mean), query))
    prep_given = None if preprocessing is None else complete(preprocessing, signature.given[0])
    if suffix == ".npz":
        reader = open_npz(_existing(path), signature, images=prep_given is not None)
        return Dataset(spec, "npz", signature, prep_given, reader)
    if not path.exists() and is_function_name(spec):
        return Dataset(spec, "callable", signature, prep_given, open_callable(spec))
    if not path.exists():
        raise DataError("no such data", got=spec, allowed=ALLOWED)
    raise DataError("not a kind of data that can be read", got=spec, allowed=ALLOWED)


def _image_preprocessing(signature: Signature, given: Preprocessing | None) -> Preprocessing:
    if len(signature.inputs) != 1:
        raise DataError(
            "images feed a network of one input",
            got=f"{len(signature.inputs)} inputs",
            next_step="give a .npz with x_<input name> arrays, or module:function yielding dicts",
        )
    return complete(given, signature.inputs[0])


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise DataError("no such file", got=path, allowed=ALLOWED)
    return path


def _parquet(path: Path, channels: int, query: str) -> Reader:
    try:
        from pocketpress.data.parquet import open_parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "reading .parquet needs pyarrow", next_step="run: pip install 'pocketpress[data]'"
        ) from error
    columns = dict(parse_qsl(query))
    unknown = sorted(set(columns) - {"image", "label"})
    if unknown:
        raise DataError("unknown column role", got=unknown[0], allowed="image, label")
    return open_parquet(path, channels, columns)
