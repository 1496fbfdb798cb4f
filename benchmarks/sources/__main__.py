"""Does it matter which file a network comes in?

    python -m benchmarks.sources --cifar $POCKETPRESS_DATA/cifar10 --out results/sources.json

The trained small MobileNetV2 is pressed from PyTorch, ONNX, TFLite and Keras, with the same calibration
pictures; artifacts are compared runtime by runtime in one process.  Once more with one set of scales for all
files, where integers can be compared (`benchmarks.sources.scales`).  Then a large ONNX file of random weights
is read and pressed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from examples.cifar.data import read_split

from benchmarks.agreement import equal_share
from benchmarks.machine import Child, describe, run
from benchmarks.sources.export import EXPORTS
from benchmarks.sources.large import measure_import
from benchmarks.sources.rows import SourceRow
from pocketpress.core.targets import all_targets
from pocketpress.measure.latency import summarise

FACTORY = "examples.cifar.networks:mobilenet_v2"
FOLDED = "benchmarks.sources.export:folded"
PYTORCH = "pytorch"
RUNTIMES = ("litert", "executorch", "onnxruntime")
PRECISIONS = ("fp32", "w8a8-fast")
ONE_SCALE = "w8a8, the PyTorch network's scales"
Made = dict[str, tuple[Path, Child]]
CALIBRATION, JUDGED = 1280, 1000


def prepare(cifar: Path, work: Path) -> dict[str, str]:
    """Write pictures and files; sources by kind."""
    train = read_split(cifar / "train.parquet").draw(CALIBRATION, 0)
    images = train.images.astype(np.float32) / np.float32(255)
    np.savez(work / "calibration.npz", x=images)
    np.savez(work / "calibration-last.npz", x=np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
    read_split(cifar / "test.parquet").draw(JUDGED, 0).save(work / "pictures.npz")
    return exported(work, FACTORY)


def exported(work: Path, factory: str, *options: str) -> dict[str, str]:
    """Write the files of a network; sources by kind."""
    files = {kind: work / f"network{''.join(options)}.{kind}" for kind in EXPORTS}
    for kind, path in files.items():
        run("benchmarks.sources.export", kind, str(path), *options)
    return {PYTORCH: factory} | {kind: str(path) for kind, path in files.items()}


def pressed(sources: dict[str, str], precision: str, work: Path) -> Made:
    """The folder of every press."""
    made = {}
    for kind, source in sources.items():
        data = work / ("calibration-last.npz" if kind == "keras" else "calibration.npz")
        out = work / f"{kind}-{precision}"
        child = run("benchmarks.sources.produce", source, precision, str(data), str(out))
        print(f"{kind} {precision}: {child.seconds:.0f} s", file=sys.stderr, flush=True)
        made[kind] = (out, child)
    return made


def pressed_rows(made: Made, precision: str, work: Path) -> Iterator[SourceRow]:
    """Every press' artifacts."""
    seconds = {kind: child.seconds for kind, (_, child) in made.items()}
    for target in RUNTIMES:
        suffix = all_targets()[target].suffix
        files = {kind: next(out.glob(f"*{suffix}")) for kind, (out, _) in made.items()}
        for row in compared(files, precision, target, work):
            yield replace(row, seconds=seconds[row.source])


def one_scale_rows(kinds: Iterable[str], work: Path) -> Iterator[SourceRow]:
    """Artifacts of the network with folded batch norm, with the scales of the PyTorch one carried over."""
    every = exported(work, FOLDED, "--folded")
    sources = {kind: every[kind] for kind in kinds}
    (work / "sources.json").write_text(json.dumps(sources))
    child = run("benchmarks.sources.scales", str(work))
    print(f"one set of scales: {child.seconds:.0f} s", file=sys.stderr, flush=True)
    shares = json.loads((work / "weights.json").read_text())
    for target in RUNTIMES:
        folder, suffix = work / f"scales-{target}", all_targets()[target].suffix
        files = {kind: folder / f"{kind}{suffix}" for kind in sources}
        for row in compared(files, ONE_SCALE, target, work):
            yield replace(row, equal_constants=shares[row.source])


def compared(files: dict[str, Path], precision: str, target: str, work: Path) -> Iterator[SourceRow]:
    """All artifacts of one runtime against that of the PyTorch network."""
    listed = {kind: str(path) for kind, path in files.items()}
    (work / f"files-{target}.json").write_text(json.dumps(listed))
    run("benchmarks.sources.measure", target, str(work))
    with np.load(work / f"measured-{target}.npz") as file:
        got = {name: file[name] for name in file.files}
    base = got[PYTORCH]
    for kind in files:
        paired = summarise(got[f"{PYTORCH}/s"], got[f"{kind}/s"], threads=1)
        assert paired.speedup is not None
        yield SourceRow(
            kind, target, precision,
            size_ratio=files[kind].stat().st_size / files[PYTORCH].stat().st_size,
            latency_ratio=paired.speedup,
            latency_ci95=paired.speedup_ci95,
            equal=equal_share(got[kind], base),
            furthest=float(np.abs(got[kind] - base).max() / np.abs(base).max()),
            images=len(base),
        )  # fmt: skip


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cifar", type=Path, required=True, help="folder of train.parquet and test.parquet")
    parser.add_argument("--out", type=Path, required=True, help="result file (JSON)")
    parser.add_argument("--sources", default=",".join(EXPORTS), help="kinds of files beside PyTorch")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        sources = prepare(given.cifar, work)
        kept = {kind: sources[kind] for kind in (PYTORCH, *given.sources.split(","))}
        rows: list[SourceRow] = []
        for precision in PRECISIONS:
            made = pressed(kept, precision, work)
            rows += pressed_rows(made, precision, work)
        rows += one_scale_rows(kept, work)
        large = measure_import(work)
    result = {
        "benchmark": "sources", "format": 1, **describe(),
        "rows": [asdict(row) for row in rows], "large": asdict(large),
    }  # fmt: skip
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
