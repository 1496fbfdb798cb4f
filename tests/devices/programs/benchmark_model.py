"""The command line, output and files of LiteRT's ``benchmark_model``, around the real interpreter."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main() -> None:
    flags = dict(word[2:].split("=", 1) for word in sys.argv[1:])
    interpreter = Interpreter(flags["graph"], num_threads=int(flags["num_threads"]))
    interpreter.allocate_tensors()
    files = dict(pair.split(":") for pair in flags["input_layer_value_files"].split(","))
    shapes = [tuple(map(int, text.split(","))) for text in flags["input_layer_shape"].split(":")]
    for details, name, shape in zip(
        interpreter.get_input_details(), flags["input_layer"].split(","), shapes, strict=True
    ):
        values = np.frombuffer(Path(files[name]).read_bytes(), details["dtype"])
        interpreter.set_tensor(details["index"], values.reshape(shape))
    for runs, least in ((int(flags["warmup_runs"]), 0.0), (int(flags["num_runs"]), float(flags["min_secs"]))):
        print(
            f"INFO: Running benchmark for at least {runs} iterations and at least {least} seconds but "
            "terminate if exceeding 150 seconds."
        )
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            interpreter.invoke()
            times.append((time.perf_counter() - began) * 1e6)
        middle = statistics.median(times)
        print(
            f"INFO: count={len(times)} first={times[0]:.0f} curr={times[-1]:.0f} min={min(times):.0f} "
            f"max={max(times):.0f} avg={statistics.fmean(times):g} std={np.std(times):.0f} "
            f"p5={min(times):.0f} median={middle:.0f} p95={max(times):.0f}\n"
        )
    with Path(flags["output_filepath"]).open("wb") as file:
        for details in interpreter.get_output_details():
            file.write(interpreter.get_tensor(details["index"]).tobytes())


main()
