"""What a phone may send: limits, types, and texts without control characters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pocketpress.core.errors import ArtifactError
from pocketpress.devices.phone.messages import MAX_BODY_BYTES, Beat, Hello, Result, parse

WHO = {"phone": "a" * 32, "tab": "b" * 32}
TIMINGS = {"seconds": [[0.01, 0.02], [0.01, 0.03]], "warmup": 10, "overhead_s": 1e-6}
RESULT: dict[str, Any] = {
    **WHO, "task": "0123456789abcdef-auto", "outcome": "measured", "runtime": "LiteRT.js 2.5.3",
    "backend": "wasm", "threads": 1, "timings": TIMINGS,
}  # fmt: skip
OUTPUT = {
    "name": "y", "elements": 10, "equal": 9, "within_1": 10, "max_steps": 1.0, "max_abs": 0.5,
    "signal": 4.0, "noise": 0.25,
}  # fmt: skip


def test_a_whole_result() -> None:
    agreement = {"samples": 2, "argmax_equal": 1, "outputs": [OUTPUT]}
    result = parse(Result, json.dumps({**RESULT, "agreement": agreement}).encode())
    assert result.timings is not None and result.timings.seconds == [[0.01, 0.02], [0.01, 0.03]]
    assert result.agreement is not None and result.agreement.outputs[0].equal == 9


WRONG = [
    ({"outcome": "excellent"}, "outcome"),
    ({"threads": "4"}, "threads"),
    ({"backend": "cuda"}, "backend"),
    ({"task": "../../etc/passwd"}, "task"),
    ({"phone": "x"}, "phone"),
    ({"surprise": 1}, "surprise"),
    ({"timings": None}, "outcome measured and timings go together"),
    ({"outcome": "refused"}, "outcome measured and timings go together"),
    ({"outcome": "refused", "timings": None}, "needs a reason"),
    ({"runtime": None}, "needs runtime and backend"),
    ({"timings": {**TIMINGS, "seconds": [[0.01], [0.01, 0.02]]}}, "blocks differ"),
    ({"timings": {**TIMINGS, "seconds": []}}, "timings.seconds"),
    ({"timings": {**TIMINGS, "seconds": [[-1.0]]}}, "timings.seconds"),
    ({"timings": {**TIMINGS, "seconds": [[0.01]] * 4001}}, "timings.seconds"),
    ({"timings": {**TIMINGS, "seconds": [[1e9]]}}, "timings.seconds"),
    ({"timings": {**TIMINGS, "float_seconds": [[0.01, 0.02]]}}, "not paired"),
    ({"memory_bytes": -5}, "memory_bytes"),
    ({"agreement": {"samples": 0, "argmax_equal": 0, "outputs": [OUTPUT]}}, "agreement.samples"),
    (
        {"agreement": {"samples": 1, "argmax_equal": 0, "outputs": [{**OUTPUT, "equal": 11}]}},
        "equal, within_1 and elements",
    ),
    ({"agreement": {"samples": 1, "argmax_equal": 0, "outputs": []}}, "agreement.outputs"),
    ({"notes": ["x"] * 21}, "notes"),
]


@pytest.mark.parametrize(("change", "text"), WRONG)
def test_wrong_results(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ArtifactError, match="message Result is malformed") as caught:
        parse(Result, json.dumps({**RESULT, **change}).encode())
    assert text in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_no_number_that_is_none(number: str) -> None:
    text = json.dumps({**WHO, "share": 0}).replace('"share": 0', f'"share": {number}')
    with pytest.raises(ArtifactError, match="malformed at share"):
        parse(Beat, text.encode())


def test_control_characters_do_not_reach_the_terminal() -> None:
    hello = {**WHO, "name": "a\x1b[31mred\n\x07", "capabilities": {"user_agent": "b\x1b]0;title\x07"}}
    message = parse(Hello, json.dumps(hello).encode())
    assert message.name == "a [31mred"
    assert message.capabilities.user_agent == "b ]0;title"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b"{}"])
def test_not_a_message(body: bytes) -> None:
    with pytest.raises(ArtifactError, match="message Beat is malformed"):
        parse(Beat, body)


def test_too_long() -> None:
    with pytest.raises(ArtifactError, match="too long"):
        parse(Beat, b" " * (MAX_BODY_BYTES + 1))
