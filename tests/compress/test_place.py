"""Which operators run in integers, and the reasons for those that do not."""

from __future__ import annotations

from tests.reference.networks import ALL_INTEGER, Net, residual_network

from pocketpress.compress.quantize.place import place
from pocketpress.core.program import TensorType


def reasons(net: Net, out: str, integer_ops: frozenset[str] = ALL_INTEGER) -> dict[str, str]:
    return {s.name: s.reason for s in place(net.build(out), integer_ops).left_in_float}


def test_a_whole_network_is_placed() -> None:
    program = residual_network()
    found = place(program, ALL_INTEGER)
    assert found.integer == {n.name for n in program.nodes} and found.left_in_float == ()


def test_an_operator_that_a_runtime_lacks_stays_in_float_with_the_reason() -> None:
    net = Net()
    x = net.op("hardswish", net.conv(net.input(1, 2, 4, 4), 2), name="h")
    assert reasons(net, x, ALL_INTEGER - {"hardswish"}) == {
        "hardswish h": "a chosen runtime has no integer kernel that equals the reference"
    }


def test_softmax_is_float_and_a_move_after_it_is_not_listed() -> None:
    net = Net()
    x = net.op("softmax", net.linear(net.input(1, 6), 4), name="s", axis=1)
    assert reasons(net, net.op("reshape", x, shape=(4,))) == {
        "softmax s": "no runtime-independent integer form"
    }


def test_a_computed_weight_and_groups_of_a_transposed_convolution() -> None:
    net = Net()
    x = net.input(1, 4)
    w = net.op("reshape", net.linear(x, 8), shape=(2, 4))
    assert "computed at run time" in next(iter(reasons(net, net.op("linear", x, w, name="l")).values()))
    net = Net()
    weight = net.constant(net.rng.normal(0, 1, (4, 1, 2, 2)))
    up = net.op(
        "conv_transpose2d", net.input(1, 4, 3, 3), weight, stride=(2, 2), pads=(0, 0, 0, 0),
        output_padding=(0, 0), groups=4,
    )  # fmt: skip
    assert "grouped transposed convolution" in next(iter(reasons(net, up).values()))


def masked_attention(*, to_softmax: bool) -> tuple[Net, str]:
    net = Net()
    mask = net.op("cast", net.builder.input("mask", TensorType((1, 4), "int64")), name="m")
    hidden = net.op("mul", net.op("add", mask, net.constant(-1.0), name="a"), net.constant(1e4), name="h")
    scores = net.op("add", net.linear(net.input(1, 6), 4, name="l"), hidden, name="s")
    return net, net.op("softmax", scores, name="p", axis=1) if to_softmax else net.linear(scores, 3, name="e")


def test_a_mask_and_its_addition_before_a_softmax_stay_in_float() -> None:
    assert reasons(*masked_attention(to_softmax=True)) == {
        "cast m": "it computes on a mask or on whole numbers",
        "add a": "it computes on a mask or on whole numbers",
        "mul h": "it computes on a mask or on whole numbers",
        "add s": "it adds a mask to the scores of a softmax, which is computed in float",
        "softmax p": "no runtime-independent integer form",
    }


def test_elsewhere_what_reads_a_mask_runs_in_integers() -> None:
    net, out = masked_attention(to_softmax=False)
    assert set(reasons(net, out)) == {"cast m", "add a", "mul h"}
    net = Net()
    pixels = net.op("cast", net.builder.input("x", TensorType((1, 4), "int64")), name="m")
    assert set(reasons(net, net.linear(pixels, 3))) == {"cast m"}
    net = Net()
    table = net.constant(net.rng.normal(size=(5, 4)))
    rows = net.builder.node("embedding", [net.builder.input("x", TensorType((2,), "int64")), table],
                            TensorType((2, 4)), name="e")  # fmt: skip
    assert reasons(net, net.linear(rows, 3)) == {
        "embedding e": "it reads whole numbers, and its result is quantised by those who read it"
    }


def test_an_input_that_only_float_arithmetic_reads_is_not_rounded() -> None:
    net = Net()
    x = net.input(1, 2, 4, 4)
    moved = net.op("reshape", net.op("permute", x, axes=(0, 2, 3, 1), name="p"), shape=(1, 32), name="r")
    assert not place(net.build(net.op("softmax", moved, axis=1)), ALL_INTEGER).integer
    net = Net()
    x = net.input(1, 2, 4, 4)
    moved = net.op("reshape", net.op("permute", x, axes=(0, 2, 3, 1), name="p"), shape=(1, 32), name="r")
    scores = net.op("add", net.op("softmax", moved, axis=1), net.linear(moved, 32))
    assert {"p", "r"} <= place(net.build(scores), ALL_INTEGER).integer


def test_whole_numbers_are_never_rounded_to_a_grid() -> None:
    """Cells of the largest score: what lies between the place and the output stays in float."""
    net = Net()
    scores = net.linear(net.input(1, 6), 4)
    place_ = net.op("argmax", scores, name="p", axis=1, keepdims=False)
    half = net.op("floor", net.op("mul", place_, net.constant(0.5), name="m"), name="f")
    rest = net.op("sub", place_, net.op("add", half, half, name="a"), name="s")
    whole = net.builder.node("whole", [rest], TensorType((1,), "int32"), name="end")
    found = reasons(net, whole)
    assert set(found) == {"argmax p", "mul m", "floor f", "add a", "sub s", "whole end"}
    assert found["sub s"] == "it computes whole numbers" and "on whole numbers" in found["mul m"]


def test_a_huge_number_that_hides_others_is_on_no_grid() -> None:
    net = Net()
    x = net.linear(net.input(1, 6), 4)
    mask = net.op("step", x, name="t")
    hidden = net.op("mul", mask, net.constant(-3e38), name="h")
    kept = net.op("mul", x, mask, name="k")
    both = net.op("add", kept, hidden, name="z")
    found = reasons(net, net.op("max_pool2d", net.op("reshape", both, shape=(1, 1, 1, 4)), kernel=(1, 4),
                                stride=(1, 4), pads=(0, 0, 0, 0), dilation=(1, 1)))  # fmt: skip
    hiding = "it hides numbers that were found behind a huge one"
    assert found == {"step t": found["step t"], "mul h": hiding, "mul k": hiding, "add z": hiding}
