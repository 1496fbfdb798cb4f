"""Write the precisions of docs/support.md: each through every runtime, for three small networks.

    python scripts/precision_table.py            write them (some minutes)
    python scripts/precision_table.py --check    exit 1 if the page is not what this machine finds

The networks are pressed, lowered and run; the cells are what was found, not what the cards say.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.sections import write
from tests.targets.small_networks import NETWORKS, Pressed, pressed

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.precision import nearest, parse_precision
from pocketpress.core.record import Parity
from pocketpress.core.session import run_stored
from pocketpress.core.signature import signature_of
from pocketpress.core.target import TargetSpec
from pocketpress.core.targets import all_targets
from pocketpress.measure.size import measure_size
from pocketpress.verify.parity import compare, is_approximate
from pocketpress.verify.reference import interpret

PAGE = Path(__file__).parents[1] / "docs" / "support.md"
PRECISIONS = (
    "fp16",
    "w8a8-fast",
    "w8a8-static",
    "w4a8",
    "w8a16",
    "w8-dynamic",
    "w8",
    "w8-block-32",
    "w4",
    "w4-block-32",
    "palette-4",
    "palette-2",
)
HEAD = """A CNN (13 thousand weights), a U-Net with transposed convolutions (50 thousand) and a transformer
encoder (140 thousand), pressed to every precision and run on x86-64 Linux. The smaller a network, the more
its operators weigh beside its weights: `0.33x` is the size of the file over that of the float file, in the
order CNN, U-Net, encoder.

| word | meaning |
|---|---|
| computes | the runtime computes in this precision |
| stores | the file is smaller; the arithmetic is float32 on decoded weights |
| equal | every output number is the reference's |
| close | float outputs within 0.01 % of their range of the reference's |
| 41 dB | activations are rounded in the runtime's own way: signal over error against the *float* network |
| written | not executed on this machine |
| lacks | refused; the message names the nearest precision the runtime has |
"""


def main(arguments: list[str] | None = None) -> int:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description="Write the precisions of docs/support.md.")
    parser.add_argument("--check", action="store_true", help="exit 1 if the page is out of date")
    options = parser.parse_args(arguments)
    specs = [s for _, s in sorted(all_targets().items()) if set(s.families) != {"fp32"}]
    text = "\n".join([HEAD, *table(specs)])
    return write(PAGE, "precisions", text, Path(__file__).name, check=options.check)


def table(specs: list[TargetSpec]) -> Iterator[str]:
    """One row per precision."""
    yield "| precision | " + " | ".join(spec.title for spec in specs) + " |"
    yield "|---" * (1 + len(specs)) + "|"
    for precision in PRECISIONS:
        yield f"| `{precision}` | " + " | ".join(cell(spec, precision) for spec in specs) + " |"


def cell(spec: TargetSpec, precision: str) -> str:
    """What a target does with a precision."""
    family = parse_precision(precision).family
    if family not in spec.families:
        instead = nearest(family, spec.families)
        return f"lacks; nearest {instead}" if instead else "lacks"
    found = [outcome(spec, network, precision) for network in NETWORKS]
    words = [word for word, _ in found]
    sizes = " ".join(size for _, size in found)
    kind = "computes" if family in spec.precisions else "stores"
    said = words[0] if len(set(words)) == 1 else " / ".join(words)
    return f"{kind}, {said}, {sizes}"


def outcome(spec: TargetSpec, network: str, precision: str) -> tuple[str, str]:
    """Agreement and relative size for one network."""
    case = pressed(network, precision, spec)
    with TemporaryDirectory() as folder:
        small, floats = (Path(folder) / f"{name}{spec.suffix}" for name in ("small", "float"))
        try:
            lowered = spec.lower(case.program, signature_of(case.program, precision=precision), small)
        except UnsupportedError:
            return "refused", "-"
        spec.lower(case.exact, signature_of(case.exact, precision="fp32"), floats)
        size = f"{measure_size(small).raw_bytes / measure_size(floats).raw_bytes:.2f}x"
        if spec.obstacle() is not None:
            return "written", size
        approximate = lowered.stored_only or is_approximate(case.program)
        return agreement(parity(spec, case, small, precision, approximate=approximate)), size


def parity(spec: TargetSpec, case: Pressed, path: Path, precision: str, *, approximate: bool) -> Parity:
    """Run the file and compare with the reference."""
    runner = spec.open_runner(path)
    signature = signature_of(case.program, precision=precision)
    results = [run_stored(runner, signature, [feed[n] for n in case.program.inputs]) for feed in case.feeds]
    runner.close()
    got = [dict(zip(case.program.outputs, values, strict=True)) for values in results]
    return compare(
        got,
        [interpret(case.program, feed) for feed in case.feeds],
        signature_of(case.program, precision=precision),
        [interpret(case.exact, feed) for feed in case.feeds],
        approximate=approximate,
    )


def agreement(found: Parity) -> str:
    """One word; what is neither equal nor close is shouted."""
    if found.equal == 1.0:
        return "equal"
    if found.required_sqnr_db is not None and found.sqnr_float_db is not None:
        good = found.sqnr_float_db >= found.required_sqnr_db
        return f"{found.sqnr_float_db:.0f} dB" if good else "DIFFERS"
    if found.tolerance is not None:
        return "close" if found.max_abs is not None and found.max_abs <= found.tolerance else "DIFFERS"
    return "DIFFERS"


if __name__ == "__main__":
    sys.exit(main())
