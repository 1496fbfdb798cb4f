"""A small seeded run of the fuzzer: no crash, no hang, no unclear error, no side effect."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from scripts.fuzz_mutants import MARK, mutant

RUNS = [("pt,safetensors,npz", 40), pytest.param("onnx,onnx-external", 40, marks=pytest.mark.slow)]


def python(*argv: object) -> subprocess.CompletedProcess[str]:
    """A process of its own: torch has run in this one, which must not be forked then."""
    command = [sys.executable, *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="the fuzzer forks")
@pytest.mark.parametrize(("kinds", "count"), RUNS)
def test_damaged_and_hostile_files_give_a_network_or_one_clear_line(
    kinds: str, count: int, tmp_path: Path
) -> None:
    out = tmp_path / "fuzz.json"
    argv = ("--mutants", count, "--kinds", kinds, "--seed", 7, "--out", out)
    done = subprocess.run(
        [sys.executable, "-m", "scripts.fuzz_sources", *map(str, argv)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())["kinds"]
    assert set(found) == set(kinds.split(","))
    for kind, tally in found.items():
        assert sum(tally["outcomes"].values()) == count and tally["failures"] == [], kind
        assert tally["outcomes"]["error"] >= count // 4, f"{kind}: mutants that are all read test nothing"


def test_a_failure_is_found_and_kept(tmp_path: Path) -> None:
    """Readers that fail in every way there is: the fuzzer must say so, and not end itself."""
    script = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from scripts import fuzz_sources as f\n"
        "from scripts.fuzz_seeds import READERS, Reader, Seeds\n"
        "def read(path):\n"
        "    n = int(path.read_bytes())\n"
        "    if n == 1: os.abort()\n"
        "    if n == 2: raise KeyError('what')\n"
        "    if n == 3: Path(path.parent, f.MARK).touch()\n"
        "    if n == 4:\n"
        "        while True: pass\n"
        "    if n == 5: raise MemoryError\n"
        "READERS['fake'] = Reader('.x', read)\n"
        "f.mutant = lambda kind, content, rng: ('same', content)\n"
        "bench = f.Bench('fake', Seeds({'fake': [str(i).encode() for i in range(6)]}), 0, Path(sys.argv[1]),"
        " seconds=1)\n"
        "found, at = [], 0\n"
        "while at < 6:\n"
        "    found += f.run_batch(bench, range(at, 6)); at = found[-1].number + 1\n"
        "print([(o.number, o.word) for o in found])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    words = ["read", "crash", "unclear", "side effect", "hang", "memory"]
    assert done.stdout.strip() == str(list(enumerate(words)))


def test_a_mutant_is_the_same_for_the_same_seed() -> None:
    content = bytes(range(256)) * 4
    first, again = (mutant("tflite", content, random.Random("tflite 0 3")) for _ in range(2))
    assert first == again and first[1] != content
    assert not Path(MARK).exists()
