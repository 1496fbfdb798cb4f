"""What reading a large file costs: ``python -m benchmarks.sources.large FILE REPORT``."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import run
from benchmarks.sources.rows import ImportRow
from pocketpress.devices.memory import peak_rss_bytes, reset_peak, rss_bytes

CHANNELS, LAYERS = 768, 5
"""3x3 convolutions of so many channels: 106 MB of float32 weights."""
SIDE = 7


def measure_import(work: Path) -> ImportRow:
    """Write a large ONNX file, read it in one process, press it in another."""
    path, report = work / "large.onnx", work / "large.json"
    write_network(path, CHANNELS)
    run("benchmarks.sources.large", str(path), str(report))
    read = json.loads(report.read_text())
    child = run("benchmarks.sources.produce", str(path), "fp32", str(path), str(work / "large"))
    return ImportRow("onnx", path.stat().st_size, read["seconds"], read["peak_bytes"], child.seconds)


def write_network(path: Path, channels: int) -> None:
    """Convolutions with ReLU between them, weights drawn at random."""
    import onnx_ir as ir

    rng = np.random.default_rng(0)
    value = ir.Value(
        name="x", shape=ir.Shape((1, channels, SIDE, SIDE)), type=ir.TensorType(ir.DataType.FLOAT)
    )
    given, weights, nodes = value, [], []
    for index in range(LAYERS):
        spread = np.sqrt(2 / (9 * channels))
        drawn = rng.normal(0, spread, (channels, channels, 3, 3)).astype(np.float32)
        weight = ir.Value(name=f"w{index}", const_value=ir.tensor(drawn, name=f"w{index}"))
        weights.append(weight)
        for op, inputs in (("Conv", (weight,)), ("Relu", ())):
            attributes = {"pads": [1, 1, 1, 1]} if op == "Conv" else {}
            node = ir.node(op, [value, *inputs], attributes, name=f"{op.lower()}{index}")
            nodes.append(node)
            value = node.outputs[0]
            value.name = f"{op.lower()}{index}_out"
    value.shape, value.type = given.shape, given.type
    graph = ir.Graph(
        [given], [value], nodes=nodes, initializers=weights, opset_imports={"": 18}, name="large"
    )
    ir.save(ir.Model(graph, ir_version=10), path)


def main() -> None:
    """Read one file; say how long it took and how much memory."""
    parser = argparse.ArgumentParser(description="Read a network and report seconds and memory.")
    parser.add_argument("file", type=Path)
    parser.add_argument("report", type=Path)
    given = parser.parse_args()
    small = given.report.with_suffix(".warm.onnx")
    from pocketpress.sources.load import load_source

    write_network(small, 8)
    load_source(str(small))  # imports the libraries
    reset_peak()
    start, begin = rss_bytes(), time.perf_counter()
    source = load_source(str(given.file))
    seconds = time.perf_counter() - begin
    assert source is not None
    given.report.write_text(json.dumps({"seconds": seconds, "peak_bytes": peak_rss_bytes() - start}))


if __name__ == "__main__":
    main()
