"""A loaded artifact as a function from named arrays to named arrays, in real values."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import numpy as np

from pocketpress.core.errors import ArtifactError
from pocketpress.core.labels import largest
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.core.target import Array, Runner, file_to_real, real_to_file


class Session:
    """Call with one array per input name; get one real-valued array per output name.

    Quantised borders are converted here, so the caller never sees a scale.  One call is one inference
    at the artifact's static shape (batch of one, as on a phone).

    A network with state is called the same way, states among its inputs and outputs, or step by step:
    `step` keeps the states, and `reset` starts again.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.signature: Signature = runner.signature
        self._states: dict[str, Array] = {}
        self.reset()

    def __call__(self, *arrays: Array, **named: Array) -> dict[str, Array]:
        """Run one inference.

        Raises:
            ArtifactError: an input is missing, unknown, of another shape or not numeric, or is no row of the
                table that it is looked up in.
        """
        specs = self.signature.inputs
        results = self._runner.run(self._feeds(specs, arrays, named))
        return {
            spec.name: file_to_real(np.asarray(value), spec.scale, spec.zero_point)
            for spec, value in zip(self.signature.outputs, results, strict=True)
        }

    def step(self, *arrays: Array, **named: Array) -> dict[str, Array]:
        """Run one inference on the kept states, and keep what they become.

        Args:
            arrays: inputs that are no states, in order.
            named: the same by name.

        Returns:
            The outputs that are no states.  After an error the states are what they were.

        Raises:
            ArtifactError: as a call.
        """
        specs = self.signature.given
        given = dict(zip((s.name for s in specs), self._feeds(specs, arrays, named), strict=True))
        feeds = [given[s.name] if s.name in given else self._states[s.name] for s in self.signature.inputs]
        results = {
            spec.name: np.asarray(value)
            for spec, value in zip(self.signature.outputs, self._runner.run(feeds), strict=True)
        }
        self._states = {state.input: results[state.output] for state in self.signature.states}
        return {
            spec.name: file_to_real(results[spec.name], spec.scale, spec.zero_point)
            for spec in self.signature.returned
        }

    def top(
        self, outputs: Mapping[str, Array], k: int = 5, *, output: str | None = None
    ) -> list[tuple[str, float]]:
        """The classes of the largest scores by name, best first; of equal scores the first class.

        Args:
            outputs: what a call returned.
            k: how many at most.
            output: whose scores, where several outputs have labels.

        Raises:
            ArtifactError: no such output has labels, it is not one score per class, or ``k`` is below 1.
        """
        if k < 1:
            raise ArtifactError("k must be positive", got=k, allowed="1 or more")
        name, labels = self._classes(output)
        if name not in outputs:
            raise ArtifactError(f"output {name} was not given", got=list(outputs), allowed=name)
        scores = np.asarray(outputs[name])
        if scores.size != len(labels):
            raise ArtifactError(
                f"output {name} is not one score per class", got=scores.shape, allowed=len(labels)
            )
        return largest(scores, labels, k)

    def _classes(self, output: str | None) -> tuple[str, tuple[str, ...]]:
        """An output of named classes: the only one, where none is asked for."""
        known = self.signature.labels
        if output is None and len(known) == 1:
            return next(iter(known.items()))
        if output is not None and output in known:
            return output, known[output]
        if not known:
            raise ArtifactError("no output has named classes", next_step="press the network with --labels")
        raise ArtifactError("not an output of named classes", got=output, allowed=list(known))

    @property
    def states(self) -> dict[str, Array]:
        """Real values of the kept states, by the name of the input that takes them."""
        specs = {spec.name: spec for spec in self.signature.inputs}
        return {
            name: file_to_real(value, specs[name].scale, specs[name].zero_point).copy()
            for name, value in self._states.items()
        }

    def reset(self, **states: Array) -> None:
        """Start a new sequence: every state gets its initial value, or the real values given for it.

        Raises:
            ArtifactError: a name is no state, or a value does not fit.
        """
        specs = {spec.name: spec for spec in self.signature.inputs}
        known = [state.input for state in self.signature.states]
        unknown = sorted(set(states) - set(known))
        if unknown:
            raise ArtifactError(
                "unknown state", got=unknown, allowed=known or "none: the network has no state"
            )
        self._states = {
            state.input: _feed(
                specs[state.input],
                states.get(
                    state.input, state.start(specs[state.input].shape, _real_dtype(specs[state.input]))
                ),
            )
            for state in self.signature.states
        }

    @staticmethod
    def _feeds(
        specs: tuple[TensorSpec, ...], arrays: tuple[Array, ...], named: dict[str, Array]
    ) -> list[Array]:
        if len(arrays) > len(specs):
            raise ArtifactError("too many inputs", got=len(arrays), allowed=len(specs))
        given = dict(zip((spec.name for spec in specs), arrays, strict=False))
        given.update(named)
        unknown = sorted(set(given) - {spec.name for spec in specs})
        if unknown:
            raise ArtifactError("unknown input", got=unknown, allowed=[spec.name for spec in specs])
        return [_feed(spec, given.get(spec.name)) for spec in specs]

    def close(self) -> None:
        """Release the runtime."""
        self._runner.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def run_stored(runner: Runner, signature: Signature, feeds: list[Array]) -> list[Array]:
    """One inference in the dtypes of ``signature``, a program's own.

    Some targets have other dtypes at a file's border than the program has, for the same real values.

    Args:
        runner: of the file.
        signature: what the feeds and the results are stored as.
        feeds: in its order.
    """
    inputs = zip(signature.inputs, runner.signature.inputs, feeds, strict=True)
    results = runner.run([_as_stored(value, ours, files) for ours, files, value in inputs])
    outputs = zip(signature.outputs, runner.signature.outputs, results, strict=True)
    return [_as_stored(np.asarray(value), files, ours) for ours, files, value in outputs]


def _as_stored(value: Array, before: TensorSpec, after: TensorSpec) -> Array:
    """What is stored as ``before`` says, as ``after`` says; a dtype that is neither stays."""
    if before.dtype == after.dtype or value.dtype != before.dtype:
        return value
    real = file_to_real(value, before.scale, before.zero_point)
    return real_to_file(real, after.dtype, after.scale, after.zero_point)


def _feed(spec: TensorSpec, value: Array | None) -> Array:
    if value is None:
        raise ArtifactError("input missing", got=None, allowed=spec.name)
    array = np.asarray(value)
    if array.shape != spec.shape:
        raise ArtifactError(f"input {spec.name} has another shape", got=array.shape, allowed=spec.shape)
    if array.dtype.kind not in "fiub":
        raise ArtifactError(f"input {spec.name} is not numeric", got=array.dtype, allowed="float32")
    if spec.dtype in ("int32", "int64") and spec.scale is None and array.dtype.kind == "f":
        raise ArtifactError(f"input {spec.name} has another dtype", got=array.dtype, allowed=spec.dtype)
    if spec.rows is not None:
        _check_rows(spec.name, array, spec.rows)
    return real_to_file(array, spec.dtype, spec.scale, spec.zero_point)


def _real_dtype(spec: TensorSpec) -> str:
    return "float32" if spec.scale is not None else spec.dtype


def _check_rows(name: str, array: Array, rows: int) -> None:
    """Runtimes differ about an index that is no row: an error, or a row counted from the end."""
    wrong = array[(array < 0) | (array >= rows)]
    if wrong.size:
        raise ArtifactError(
            f"input {name} is no row of its table", got=wrong[0].item(), allowed=f"0 to {rows - 1}"
        )
