"""The error of every layer of an int8 program against its float original."""

from __future__ import annotations

from tests.reference.networks import quantized, residual_network, samples

from pocketpress.verify.layers import layer_errors


def test_every_layer_has_an_error_and_its_operator() -> None:
    program = residual_network()
    small = quantized(program)
    feeds = samples(program, 3, seed=2)
    found = layer_errors(program, small, ((f, f) for f in feeds))
    assert [(e.name, e.op) for e in found] == [(n.name, n.op) for n in program.nodes]
    assert all(20 < e.sqnr_db < 70 for e in found), [(e.name, e.sqnr_db) for e in found]


def test_a_program_against_itself_has_no_error() -> None:
    program = residual_network()
    feeds = samples(program, 1)
    found = layer_errors(program, program, ((f, f) for f in feeds))
    assert all(e.sqnr_db == float("inf") for e in found)
