"""The command line, files and log lines of ExecuTorch's ``executor_runner``, around the real runtime."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from pocketpress.targets.executorch.run import open_runner


def main() -> None:
    flags = dict(word[2:].split("=", 1) for word in sys.argv[1:])
    runner = open_runner(Path(flags["model_path"]), int(flags["cpu_threads"]))
    names, specs = flags["inputs"].split(","), runner.signature.inputs
    feeds = [
        np.frombuffer(Path(name).read_bytes(), spec.dtype).reshape(spec.shape)
        for name, spec in zip(names, specs, strict=True)
    ]
    count, log = int(flags["num_executions"]), []
    for index in range(count):
        began = time.perf_counter()
        results = runner.run(feeds)
        spent = (time.perf_counter() - began) * 1e3
        log.append(f"I ExecuTorch: Iteration {index + 1} of {count}: {spent:f} ms")
    for index, value in enumerate(results):
        Path(f"{flags['output_file']}-{index}.bin").write_bytes(value.tobytes())
    Path(os.environ["LOGCAT"]).write_text("\n".join(log))  # on Android its log is the phone's


main()
