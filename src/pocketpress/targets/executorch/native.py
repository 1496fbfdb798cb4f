"""ExecuTorch's runtime library without PyTorch, through ctypes.

The runtime's Python module links PyTorch, which a board has no room for: for Arm64 its wheel is built for
CUDA and needs gigabytes of it.  The library ``libexecutorch.so`` beside that module needs nothing, but
speaks C++ only.  So its class ``Module`` is called by mangled name, with the few types that cross the border
laid out as the Itanium C++ ABI and libstdc++ do.  A mangled name spells the types of all arguments: a release
that changes them is refused here, not misread.  Layouts are those of ExecuTorch 1.x (``evalue.h``,
``result.h``, ``tensor_impl.h``); where a tensor's data lies is found out, not assumed.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.core.signature import Signature
from pocketpress.core.target import Array

LIBRARIES = ("kernels_optimized", "backend_xnnpack", "threadpool")
"""What the runtime's Python module links besides the library itself; loading them registers the kernels."""

_STRING = "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
_MODULE = "_ZN10executorch9extension6module6Module"
_CONSTRUCT = (
    f"{_MODULE}C1ERK{_STRING}NS2_8LoadModeESt10unique_ptrINS_7runtime11EventTracerESt14default_deleteISE_EE"
    "SC_INSD_15MemoryAllocatorESF_ISI_EESK_b"
)
_DESTROY = f"{_MODULE}D1Ev"
_LOAD = f"{_MODULE}4loadENS_7runtime7Program12VerificationE"
_LOAD_METHOD = (
    f"{_MODULE}11load_methodERK{_STRING}PNS_7runtime21HierarchicalAllocatorEPNSB_11EventTracerE"
    "PKNSB_21LoadBackendOptionsMapESt6vectorINSB_6KernelESaISK_EE"
)
_EXECUTE = f"{_MODULE}7executeERK{_STRING}RKSt6vectorINS_7runtime6EValueESaISD_EE"
_TENSOR = (
    "_ZN10executorch7runtime7etensor10TensorImplC1ENS1_10ScalarTypeElPiPvPhS4_"
    "NS0_19TensorShapeDynamismENS1_10DeviceTypeEa"
)
_BYTES = "_ZNK10executorch7runtime7etensor10TensorImpl6nbytesEv"
_POOL = "_ZN10executorch9extension10threadpool14get_threadpoolEv"
_RESIZE = "_ZN10executorch9extension10threadpool10ThreadPool24_unsafe_reset_threadpoolEj"
_DELETE = "_ZdlPv"

_MODULE_BYTES = 8192
"""More than a Module has ever needed."""
_TENSOR_BYTES = 256
_INTERNAL_CONSISTENCY = 1
_LOAD_FILE = 0
_TENSOR_TAG = 1
_SCALARS = {"uint8": 0, "int8": 1, "int16": 2, "int32": 3, "int64": 4, "float16": 5, "float32": 6,
            "float64": 7, "bool": 11}  # fmt: skip
_ERRORS = {
    0x1: "internal error", 0x2: "invalid state", 0x10: "not supported", 0x11: "not implemented",
    0x12: "invalid argument", 0x13: "invalid type", 0x14: "operator missing", 0x20: "not found",
    0x21: "no memory left", 0x22: "access failed", 0x23: "invalid program", 0x30: "delegate refuses",
    0x31: "delegate out of memory", 0x32: "delegate not there",
}  # fmt: skip


class _String(ctypes.Structure):
    _fields_ = (
        ("text", ctypes.c_char_p),
        ("length", ctypes.c_size_t),
        ("local", ctypes.c_char * 16),
    )


class _Vector(ctypes.Structure):
    _fields_ = (("begin", ctypes.c_void_p), ("end", ctypes.c_void_p), ("reserved", ctypes.c_void_p))


class _Value(ctypes.Structure):
    _fields_ = (("payload", ctypes.c_void_p), ("tag", ctypes.c_uint32))


class _Result(ctypes.Structure):
    """``Result<std::vector<EValue>>``: the vector, or in its place an error code."""

    _fields_ = (("value", _Vector), ("has_value", ctypes.c_bool))


def reset_threadpool(threads: int) -> None:
    """Give the process's only pool so many threads; no program may be loaded."""
    library = _libraries()["threadpool"]
    _function(library, _RESIZE, None, ctypes.c_void_p, ctypes.c_uint32)(
        _function(library, _POOL, ctypes.c_void_p)(), threads
    )


class NativeProgram:
    """A program and its method ``forward``."""

    def __init__(self, data: bytes, signature: Signature) -> None:
        """Load it.

        Raises:
            ArtifactError: the runtime refuses the program.
            DeviceError: the installed release has another interface.
        """
        library = _libraries()[""]
        self._execute = _function(library, _EXECUTE, _Result, *[ctypes.c_void_p] * 3)
        self._free = _function(library, _DELETE, None, ctypes.c_void_p)
        self._tensor_bytes = _function(library, _BYTES, ctypes.c_size_t, ctypes.c_void_p)
        self._outputs = [(spec.dtype, spec.shape) for spec in signature.outputs]
        self._module = ctypes.create_string_buffer(_MODULE_BYTES)
        self._name = _string(b"forward")
        self._destroy = _function(library, _DESTROY, None, ctypes.c_void_p)
        self._loaded = False
        self._data_offset = _data_offset()
        with tempfile.NamedTemporaryFile(suffix=".pte") as file:
            file.write(data)
            file.flush()
            self._load(library, Path(file.name))

    def _load(self, library: ctypes.CDLL, path: Path) -> None:
        pointer = ctypes.c_void_p
        construct = _function(
            library, _CONSTRUCT, None, pointer, pointer, ctypes.c_int, *[pointer] * 3, ctypes.c_bool
        )
        nothing = [ctypes.byref(pointer()) for _ in range(3)]
        name = _string(os.fsencode(path))
        construct(self._module, ctypes.byref(name), _LOAD_FILE, *nothing, False)
        self._loaded = True
        load = _function(library, _LOAD, ctypes.c_uint32, pointer, ctypes.c_uint8)
        load_method = _function(library, _LOAD_METHOD, ctypes.c_uint32, *[pointer] * 6)
        error = load(self._module, _INTERNAL_CONSISTENCY) or load_method(
            self._module, ctypes.byref(self._name), None, None, None, ctypes.byref(_Vector())
        )
        if error:
            self.release()
            raise ArtifactError(
                "ExecuTorch cannot load the program",
                got=_error(error),
                next_step="build it again with the installed executorch",
            )

    def run(self, feeds: Sequence[Array]) -> list[Array]:
        """Compute one inference; the results are copies."""
        tensors = [_Tensor(feed) for feed in feeds]
        values = (_Value * len(tensors))(*(_Value(tensor.address, _TENSOR_TAG) for tensor in tensors))
        start = ctypes.addressof(values)
        end = start + ctypes.sizeof(values)
        inputs = _Vector(start, end, end)
        result = self._execute(self._module, ctypes.byref(self._name), ctypes.byref(inputs))
        if not result.has_value:
            code = ctypes.c_uint32.from_buffer(result).value
            raise ArtifactError("ExecuTorch could not run the program", got=_error(code))
        try:
            return self._copied(result.value)
        finally:
            self._free(result.value.begin)

    def _copied(self, vector: _Vector) -> list[Array]:
        count = ((vector.end or 0) - (vector.begin or 0)) // ctypes.sizeof(_Value)
        if count != len(self._outputs):
            raise ArtifactError(
                "ExecuTorch returned other outputs than the signature names",
                got=count,
                allowed=len(self._outputs),
            )
        values = (_Value * count).from_address(vector.begin or 0)
        return [self._array(value, *output) for value, output in zip(values, self._outputs, strict=True)]

    def _array(self, value: _Value, dtype: str, shape: tuple[int, ...]) -> Array:
        wanted = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        size = self._tensor_bytes(value.payload) if value.tag == _TENSOR_TAG else -1
        if size != wanted:
            raise ArtifactError(
                "ExecuTorch returned an output of another size", got=f"{size} bytes", allowed=wanted
            )
        data = ctypes.c_void_p.from_address((value.payload or 0) + self._data_offset).value
        return np.frombuffer(ctypes.string_at(data or 0, wanted), dtype=dtype).reshape(shape).copy()

    def release(self) -> None:
        """Destroy the runtime's objects; safe to call twice."""
        if self._loaded:
            self._loaded = False
            self._destroy(self._module)


class _Tensor:
    """A tensor of the runtime over an array's own memory, which it keeps alive."""

    def __init__(self, array: Array) -> None:
        self._array = np.require(array, requirements=("C", "W"))
        rank = array.ndim
        self._sizes = (ctypes.c_int32 * max(rank, 1))(*array.shape)
        self._order = (ctypes.c_uint8 * max(rank, 1))(*range(rank))
        steps = [step // array.itemsize for step in self._array.strides]
        self._strides = (ctypes.c_int32 * max(rank, 1))(*steps)
        self._memory = ctypes.create_string_buffer(_TENSOR_BYTES)
        self.address = ctypes.addressof(self._memory)
        pointer, small = ctypes.c_void_p, ctypes.c_int8
        construct = _function(
            _libraries()[""], _TENSOR, None, pointer, small, ctypes.c_ssize_t, *[pointer] * 4,
            ctypes.c_uint8, small, small,
        )  # fmt: skip
        construct(
            self.address, _SCALARS[str(self._array.dtype)], rank, self._sizes, self._array.ctypes.data,
            self._order, self._strides, 0, 0, 0,
        )  # fmt: skip

    @property
    def data_offset(self) -> int:
        """Where in a tensor the pointer to its data lies."""
        words = (ctypes.c_size_t * (_TENSOR_BYTES // ctypes.sizeof(ctypes.c_size_t))).from_buffer(
            self._memory
        )
        return list(words).index(self._array.ctypes.data) * ctypes.sizeof(ctypes.c_size_t)


@cache
def _data_offset() -> int:
    try:
        return _Tensor(np.zeros(3, np.float32)).data_offset
    except ValueError as error:
        raise _other_release("a tensor's layout") from error


def _string(text: bytes) -> _String:
    return _String(text, len(text))


def _error(code: int) -> str:
    return f"{_ERRORS.get(code, 'error')} (code {code:#x})"


@cache
def _function(library: ctypes.CDLL, name: str, result: object, *arguments: object) -> Any:
    try:
        function = library[name]
    except AttributeError as error:
        raise _other_release(name) from error
    function.restype, function.argtypes = result, arguments  # type: ignore[assignment]
    return function


def _other_release(what: str) -> DeviceError:
    return DeviceError(
        "this release of ExecuTorch cannot be used without PyTorch",
        got=f"without {what}",
        allowed="executorch 1.5",
        next_step="install torch beside it",
    )


@cache
def _libraries() -> dict[str, ctypes.CDLL]:
    folder = _folder()
    if folder is None:
        raise DeviceError("ExecuTorch's library is not installed", next_step="install executorch, or torch")
    try:
        loaded = {"": ctypes.CDLL(str(folder / "libexecutorch.so"))}
        for name in LIBRARIES:
            loaded[name] = ctypes.CDLL(str(folder / f"libexecutorch_{name}.so"))
    except OSError as error:
        raise DeviceError("ExecuTorch's library cannot be loaded", got=error) from error
    return loaded


def _folder() -> Path | None:
    found = importlib.util.find_spec("executorch")
    for place in (found.submodule_search_locations or ()) if found else ():
        if (Path(place) / "lib" / "libexecutorch.so").is_file():
            return Path(place) / "lib"
    return None
