"""``--bucket``: one press per length of a sequence, each in a folder of its own."""

from __future__ import annotations

from dataclasses import replace

from pocketpress.core.buckets import MASK
from pocketpress.core.errors import UserError
from pocketpress.core.record import Record
from pocketpress.data.buckets import Bucket
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.options import SYNTHESISED, PressOptions
from pocketpress.pipeline.press import press
from pocketpress.sources.load import load_source

AXIS = 1
"""Of the first input: its size is the length, and so is every axis of another input that is as long."""


def press_buckets(
    options: PressOptions, lengths: tuple[int, ...], events: Events | None = None, *, mask: str = MASK
) -> dict[int, Record]:
    """Press a network once per length into ``out/LENGTH``.

    Args:
        options: of every press; data holds samples of the longest length, each masked from where it ends.
        lengths: at least two.
        events: told about progress.
        mask: the input that is 1 where an input counts.

    Raises:
        UserError: fewer than two lengths, or the network has no mask, no length or states.
    """
    found = plan(options, lengths, mask)
    records = {}
    for length, shapes in found.items():
        axes = {n: a for n, a in shapes.axes.items() if a}
        bucket = Bucket(length, max(lengths), axes, mask)
        records[length] = press(
            replace(options, shapes=shapes.sizes, out=options.out / str(length), bucket=bucket), events
        )
    return records


class _Shapes:
    def __init__(self, sizes: tuple[tuple[int, ...], ...], axes: dict[str, tuple[int, ...]]) -> None:
        self.sizes, self.axes = sizes, axes


def plan(options: PressOptions, lengths: tuple[int, ...], mask: str = MASK) -> dict[int, _Shapes]:
    """Input shapes of every press, ascending by length."""
    if len(set(lengths)) < 2:
        raise UserError("--bucket needs several lengths", got=lengths, allowed="as 32,64,128")
    if options.stream is not None or options.states or options.data == SYNTHESISED:
        raise UserError("--bucket has no states and needs real data", next_step="leave the others out")
    program = load_source(options.source, weights=options.weights, shapes=options.shapes).program
    shapes = {name: program.type(name).shape for name in program.inputs}
    if program.states or mask not in shapes:
        raise UserError(
            f"--bucket needs an input {mask}, which is 0 where a sequence is padded, and no states",
            got=", ".join(shapes),
            next_step="give the network that input and let attention heed it",
        )
    first = next(iter(shapes.values()))
    if len(first) <= AXIS:
        raise UserError(f"the first input has no axis {AXIS} that could be the length", got=first)
    axes = {
        name: tuple(a for a, size in enumerate(shape) if a and size == first[AXIS])
        for name, shape in shapes.items()
    }
    return {
        length: _Shapes(
            tuple(
                tuple(length if a in axes[name] else size for a, size in enumerate(shape))
                for name, shape in shapes.items()
            ),
            axes,
        )
        for length in sorted(set(lengths))
    }
