"""One tool's files in a process of its own: ``python -m benchmarks.web.produce TOOL WORK``.

``pocketpress`` presses for both web targets in int8 and in float.  ``litert`` converts with litert-torch and
quantises with ai-edge-quantizer, inputs and outputs left in float, because LiteRT.js takes no int8 ones.
``onnxruntime`` exports with ``torch.onnx`` and quantises with ``quantize_static`` (QDQ).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.web.files import OURS, PEERS, SUBJECT, place_of
from benchmarks.workplace import Workplace


def main() -> None:
    parser = argparse.ArgumentParser(description="Produce one tool's files for the browser.")
    parser.add_argument("tool", choices=(OURS, *PEERS))
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    place = place_of(given.work)
    (given.work / given.tool).mkdir(parents=True, exist_ok=True)
    if given.tool == OURS:
        for precision in ("w8a8-static", "fp32"):
            _press(place, precision, given.work / OURS / precision)
        return
    import torch

    torch.set_num_threads(1)
    (_litert if given.tool == "litert" else _onnxruntime)(place, given.work / given.tool)


def _press(place: Workplace, precision: str, out: Path) -> None:
    import pocketpress

    pictures = {"data": str(place.calibration), "evaluation": str(place.held_out)}
    pocketpress.press(
        SUBJECT,
        weights=place.weights,
        out=out,
        precision=precision,
        targets="web",
        calibration_samples=10_000,
        evaluation_samples=None,
        measure=False,
        **(pictures if precision != "fp32" else {}),
    )


def _litert(place: Workplace, folder: Path) -> None:
    import litert_torch
    from ai_edge_quantizer import qtyping, quantizer, recipe  # type: ignore[import-untyped]

    from benchmarks.peers.litert_tool import _first_input

    network, examples = place.network()
    floats = folder / "float.tflite"
    litert_torch.convert(network, examples).export(str(floats))
    tool = quantizer.Quantizer(str(floats), recipe.static_wi8_ai8())
    for border in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        tool.update_quantization_recipe(
            regex=".*", operation_name=border, algorithm_key="no_quantize", op_config=None
        )
    key, name = _first_input(floats)
    calibration = place.pictures("calibration")
    result = tool.calibrate({key: [{name: sample[None]} for sample in calibration]})
    tool.quantize(result).export_model(str(folder / "int8.tflite"), overwrite=True)


def _onnxruntime(place: Workplace, folder: Path) -> None:
    from benchmarks.peers import onnxruntime_tool

    network, examples = place.network()
    onnxruntime_tool.produce(network, examples, place.pictures("calibration"), folder / "int8.onnx")


if __name__ == "__main__":
    main()
