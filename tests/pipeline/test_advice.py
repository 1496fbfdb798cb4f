"""What inspect promises of a press is what the press's record says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import Press

from pocketpress.core.advice import PLACES, rule
from pocketpress.pipeline.inspection import Inspection, inspect_network
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.press import press

RUNTIMES = ("litert", "executorch", "onnxruntime")
SUFFIXES = ("_int8", "_real", "_sums")
"""What quantising adds to the name of an output's operator."""
ROWS = 40


SHAPES: dict[str, tuple[int, ...]] = {
    "images": (3, 12, 12), "arithmetic": (8,), "attention": (6, 16), "detector": (3, 32, 32),
    "sequences": (6, 8), "wide": (3, 8), "cell": (6, 4, 1),
}  # fmt: skip


def samples(name: str, folder: Path) -> Path:
    rng, path = np.random.default_rng(0), folder / "x.npz"
    if name in ("words", "masked"):
        mask = {"mask": np.ones((ROWS, 5), np.int64)} if name == "words" else {}
        np.savez(path, ids=rng.integers(0, 20, (ROWS, 5)), **mask)
    else:
        np.savez(path, x=rng.normal(0, 1, (ROWS, *SHAPES[name])).astype(np.float32))
    return path


def promised(found: Inspection) -> dict[str, tuple[str, bool]]:
    """Place, and whether calibration decides, of every operator that is not an integer kernel."""
    (target,) = found.targets
    return {
        layer.name: (finding.place, finding.depends)
        for finding in target.findings
        for layer in finding.layers
    }


def recorded(source: str, target: str, data: Path, out: Path) -> dict[str, set[str]]:
    """What the record says of every operator that is not an integer kernel: the same words."""
    options = PressOptions(
        source=source, targets=target, data=str(data), precision="w8a8-fast", measure=False, out=out
    )
    (entry,) = press(options).targets
    said: dict[str, set[str]] = {}
    for skipped in entry.skipped:
        name = skipped.name.rpartition(" ")[2]
        name = next((name.removesuffix(s) for s in SUFFIXES if name.endswith(s)), name)
        said.setdefault(name, set()).add(_place(skipped.reason))
    return said


def _place(reason: str) -> str:
    if "WHILE" in reason or "loop of the runtime" in reason:
        return "loop"
    if "runs in LiteRT's own kernel" in reason:
        return "own kernel"
    return "portable kernel" if "portable kernel" in reason else "float"


NAMES = ("images", "arithmetic", "attention", "words", "detector", "sequences", "wide", "cell", "masked")
LONG = ("images", "detector", "sequences", "wide", "cell", "masked")
CASES = [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in NAMES]


@pytest.mark.parametrize("target", RUNTIMES)
@pytest.mark.parametrize("name", CASES)
def test_what_was_promised_is_what_the_record_says(name: str, target: str, tmp_path: Path) -> None:
    source = f"tests.pipeline.{'heads' if name == 'detector' else 'promised'}:{name}"
    found = promised(inspect_network(source, targets=target))
    said = recorded(source, target, samples(name, tmp_path), tmp_path / "out")
    assert set(said) <= set(found), "in the record, and nothing was said before"
    certain = {name for name, (_, depends) in found.items() if not depends}
    assert certain <= set(said), "promised, and not in the record"
    assert certain, "a network with nothing to say about it tests nothing"
    for layer, places in said.items():
        place = found[layer][0]
        assert ("own kernel" in place) == ("own kernel" in places), (layer, place, places)
        assert ("loop" in place) == ("loop" in places), (layer, place, places)
        assert ("portable" in place) == ("portable kernel" in places), (layer, place, places)
        assert place.startswith("float") <= bool(places & {"float", "loop"}), (layer, place, places)


def test_what_is_missing_is_refused(tmp_path: Path, pocketpress: Press) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.relu(x) ** 17\n"
        "def factory():\n"
        "    return Net().eval(), (torch.ones(1, 4),)\n"
    )
    source = f"{tmp_path / 'net.py'}:factory"
    lacking = {t.target for t in inspect_network(source).targets if t.float_missing == ("pow",)}
    assert lacking == {"executorch"}
    for target in RUNTIMES:
        argv = ("--precision", "fp32", "--target", target, "--no-measure", "--out", tmp_path / target)
        done = pocketpress("press", source, *argv)
        assert done.code == (2 if target in lacking else 0), done.err


def test_unsupported_operators_are_a_table_and_exit_code_2(tmp_path: Path, pocketpress: Press) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        y = torch.bernoulli(x)\n"
        "        return torch.special.bessel_j0(y)\n"
        "def factory():\n"
        "    return Net().eval(), (torch.ones(1, 4),)\n"
    )
    done = pocketpress("inspect", f"{tmp_path / 'net.py'}:factory")
    assert done.code == 2 and "aten::bernoulli" in done.line and "aten::special_bessel_j0" in done.line
    assert "y = torch.bernoulli(x)" in done.out and "draw random numbers outside" in done.out
    listed = json.loads(pocketpress("inspect", f"{tmp_path / 'net.py'}:factory", "--json").out)
    assert [b["op"] for b in listed["blockers"]] == ["aten::bernoulli", "aten::special_bessel_j0"]


def test_the_table_names_lines_reasons_and_replacements(pocketpress: Press) -> None:
    done = pocketpress("inspect", "tests.pipeline.promised:images")
    assert done.code == 0 and done.err == ""
    for text in ("gelu 1", "nn.Hardswish", "F.gelu(self.convs[0](image))", "SiLU 1", "% of MACs"):
        assert text in done.out, text


def test_shares_are_of_the_whole_network() -> None:
    """Of 8x8 pixels: 3x3 of 2 to 4 channels, 4608; in 2 groups of 4 to 4, 4608; 9x9 depthwise, 20736."""
    found = inspect_network("tests.pipeline.promised:hinted")
    named: dict[str, Any] = {hint.op: hint for hint in found.hints}
    assert found.multiply_accumulates == 4608 + 4608 + 20736
    assert named["grouped convolution"].multiply_accumulates == pytest.approx(4608 / 29952)
    assert named["large kernel"].multiply_accumulates == pytest.approx(20736 / 29952)
    assert [layer.name for layer in named["large kernel"].layers] == ["conv2d_2"]
    assert set(named) == {"grouped convolution", "large kernel", "SiLU", "bilinear align_corners"}


def test_a_rule_has_a_known_place() -> None:
    with pytest.raises(ValueError, match=r"Rule\.place: got elsewhere; allowed: integer, exact"):
        rule("conv2d", "elsewhere", "no reason")
    assert {"integer", "float", "portable kernel", "missing"} <= set(PLACES)
