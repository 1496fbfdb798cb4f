"""Run by NNCF's own interpreter: ``python nncf_script.py FLOAT.onnx CALIBRATION.npz OUT.onnx``.

NNCF's dependencies do not fit beside the runtimes', so it has an environment of its own and this file imports
nothing of this repository.  Everything is NNCF's default: fast bias correction, its own choice of ranges.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path


def main() -> None:
    """Quantise, save, and leave the versions beside the result."""
    import nncf
    import numpy as np
    import onnx

    floats, calibration, out = map(Path, sys.argv[1:])
    model = onnx.load(floats)
    name = model.graph.input[0].name
    with np.load(calibration) as file:
        samples = file["x"]
    data = nncf.Dataset(list(samples), lambda sample: {name: sample[None]})
    onnx.save(nncf.quantize(model, data, subset_size=len(samples)), out)
    packages = {package: version(package) for package in ("nncf", "onnx", "onnxruntime")}
    out.with_name("versions.json").write_text(json.dumps(packages) + "\n")


if __name__ == "__main__":
    main()
