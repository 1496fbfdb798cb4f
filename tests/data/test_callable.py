from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
from tests.data.builders import signature

from pocketpress.core.errors import DataError
from pocketpress.core.signature import Signature
from pocketpress.data import load_dataset

NETWORK = signature((1, 4))


def source(tmp_path: Path, body: str, name: str = "code.py") -> str:
    path = tmp_path / name
    path.write_text("import numpy as np\n" + textwrap.dedent(body))
    return f"{path}:f"


@pytest.mark.parametrize(
    ("body", "labelled"),
    [
        ("def f():\n    for i in range(3): yield np.full(4, i)", False),
        ("def f():\n    for i in range(3): yield np.full((1, 4), i), i", True),
        ("def f():\n    return [(np.full(4, i), i) for i in range(3)]", True),
        ("def f():\n    return [{'x': np.full(4, i), 'y': i} for i in range(3)]", True),
        (
            "import torch\ndef f():\n"
            "    return [(torch.full((4,), float(i), requires_grad=True), i) for i in range(3)]",
            True,
        ),
    ],
)
def test_arrays_tuples_and_dicts_are_samples(tmp_path: Path, body: str, labelled: bool) -> None:
    data = load_dataset(source(tmp_path, body), NETWORK)
    samples = list(data.samples())
    assert data.kind == "callable" and data.labelled == labelled and len(data) == 3
    assert [float(s.inputs["x"][0, 0]) for s in samples] == [0, 1, 2]
    assert [s.target is not None for s in samples] == [labelled] * 3


def test_several_inputs_by_name(tmp_path: Path) -> None:
    spec = source(tmp_path, "def f():\n    yield {'x0': np.ones(4), 'x1': np.zeros(2), 'y': 1}")
    first = next(load_dataset(spec, signature((1, 4), (1, 2))).samples())
    assert {k: v.shape for k, v in first.inputs.items()} == {"x0": (1, 4), "x1": (1, 2)}


def test_an_endless_generator_is_read_as_far_as_needed(tmp_path: Path) -> None:
    spec = source(
        tmp_path, "import itertools\ndef f():\n    return (np.full(4, i) for i in itertools.count())"
    )
    data = load_dataset(spec, NETWORK)
    assert data.size is None
    assert [float(s.inputs["x"][0, 0]) for s in data.samples(5)] == [0, 1, 2, 3, 4]


def test_a_list_is_chosen_from_at_random(tmp_path: Path) -> None:
    data = load_dataset(source(tmp_path, "def f():\n    return [np.full(4, i) for i in range(50)]"), NETWORK)
    values = [float(s.inputs["x"][0, 0]) for s in data.samples(5, seed=1)]
    assert values == sorted(values) and values != [0, 1, 2, 3, 4]


def failure(spec: str, network: Signature = NETWORK) -> str:
    with pytest.raises(DataError) as caught:
        list(load_dataset(spec, network).samples())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def f():\n    raise ValueError('no disk\\nmore')", "failed: got ValueError: no disk; see"),
        ("def f():\n    yield np.ones(4)\n    raise KeyError('k')", "failed: got KeyError: 'k'"),
        ("def f():\n    return []", "gives no samples"),
        ("def f():\n    return 7", "does not give samples: got int"),
        ("def f():\n    return {'x': 1}", "does not give samples: got dict"),
        ("def f():\n    yield np.ones(3)", "sample 0: x has another shape"),
        ("def f():\n    yield np.array([1, 2, np.nan, 4])", "sample 0: x holds NaN or infinity"),
        (
            "def f():\n    yield np.ones(4), 1\n    yield np.ones(4)",
            "some samples have targets and some do not",
        ),
        ("def f():\n    yield np.ones(4), 1, 2", "a tuple of another length: got 3"),
        ("def f():\n    yield object()", "not an array of numbers: got object"),
        ("def f():\n    yield 'abc'", "x is not numeric"),
        ("def f(a):\n    yield a", "failed: got TypeError"),
        ("def g():\n    pass", "has no function f; allowed: g"),
        ("import nothing_of_this_name", "failed: got ModuleNotFoundError"),
        ("def f(:", "failed: got SyntaxError"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, body: str, message: str) -> None:
    assert message in failure(source(tmp_path, body))


def test_what_cannot_be_found(tmp_path: Path) -> None:
    assert "no such file" in failure(f"{tmp_path}/gone.py:f")
    assert "no such module: got no_such_module_here" in failure("no_such_module_here:f")
    assert "no such data" in failure(str(tmp_path / "nothing"))
    assert "math has no function no_such" in failure("math:no_such")


def test_one_array_for_two_inputs(tmp_path: Path) -> None:
    spec = source(tmp_path, "def f():\n    yield np.ones(4)")
    assert "one array for a network of 2 inputs" in failure(spec, signature((1, 4), (1, 2)))
    spec = source(tmp_path, "def f():\n    yield {'x0': np.ones(4)}", "other.py")
    assert "input x1 is missing" in failure(spec, signature((1, 4), (1, 2)))


def test_samples_may_be_counted_without_a_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pocketpress.data import dataset

    data = load_dataset(source(tmp_path, "def f():\n    yield from np.ones((8, 4))"), NETWORK)
    assert len(data) == 8
    monkeypatch.setattr(dataset, "MAX_COUNTED", 5)
    with pytest.raises(DataError, match="does not end: got more than 5 samples"):
        len(data)


def test_images_are_preprocessed(tmp_path: Path) -> None:
    from pocketpress.data import parse_preprocessing

    network = signature((1, 3, 4, 4))
    spec = source(tmp_path, "def f():\n    yield np.full((10, 12, 3), 255, np.uint8)")
    data = load_dataset(spec, network, parse_preprocessing("minus1to1", network))
    np.testing.assert_array_equal(next(data.samples()).inputs["x"], np.ones((1, 3, 4, 4), np.float32))
