"""The page: complete, escaped, self-contained and well formed."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import pytest
from tests.report import sample

from pocketpress.core.errors import InternalError
from pocketpress.core.record import LayerError, Parity, RecipeEntry, Record, Source, TargetEntry
from pocketpress.report.render import Picture, render

VOID = {"meta", "img", "br", "input", "link", "hr"}
EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'&"


class Balance(HTMLParser):
    """Collects tags and checks that they close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data + " "


def parsed(page: str) -> Balance:
    parser = Balance()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def minimal(**changes: object) -> Record:
    base = Record(
        pocketpress="0.1.0",
        source=Source(reference="net.py:model"),
        recipe=RecipeEntry(precision="fp32"),
        verdict="pass",
    )
    return base.model_copy(update=changes)


def test_every_target_verdict_reason_and_skipped_operator_is_on_the_page() -> None:
    record = sample.record()
    text = parsed(render(record)).text
    for target in record.targets:
        assert (target.title or target.name) in text
        assert target.verdict in text
        for words in (*target.reasons, *target.notes, *(s.reason for s in target.skipped)):
            assert words in text
        if target.metric is not None and target.metric.words is not None:
            assert target.metric.words in text
    for layer in record.layers:
        assert layer.name in text
    for stage in record.stages:
        assert stage.name in text
    assert record.skipped[0].reason in text


def test_the_parity_table_says_exact_only_where_it_is() -> None:
    text = " ".join(parsed(render(sample.record())).text.split())
    assert "LiteRT 100 % 100 % 0 exact 31.2 dB 100 %" in text
    assert "ExecuTorch 99.98 % 100 % 2 58.3 dB" in text
    assert "first difference at add features_3_add, mynet.py:41" in text


def test_nothing_is_fetched_and_nothing_runs() -> None:
    page = parsed(render(sample.record(), pictures=[[Picture("before", b"\xff\xd8")]]))
    assert not {"script", "link", "iframe", "object", "form", "a"} & set(page.seen)
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith("data:image/jpeg;base64,")
    assert "url(" not in render(sample.record()) and "@import" not in render(sample.record())
    policy = [value for tag, name, value in page.attributes if tag == "meta" and "default-src" in value]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert ("meta", "content", "width=device-width, initial-scale=1") in page.attributes


def test_every_text_of_a_record_is_escaped() -> None:
    """Replace every free text of the record by markup; the page must hold no new element."""
    harmless, evil = (_with_texts(sample.record(), text) for text in ("harmless", EVIL))
    plain = parsed(render(harmless, pictures=[[Picture("harmless", b"1")]], title="harmless"))
    attacked = parsed(render(evil, pictures=[[Picture(EVIL, b"1")]], title=EVIL))
    assert attacked.seen == plain.seen
    assert len(attacked.attributes) == len(plain.attributes)
    assert attacked.text.count("<script>alert(1)</script>") > 50


def _with_texts(record: Record, text: str) -> Record:
    keep = {"verdict", "format", "sha256", "weights_sha256", "sqnr_reference_db", "dtype", "layout"}

    def walk(value: object, key: str) -> object:
        if isinstance(value, dict):
            return {
                (f"{text}{i}" if key in ("options", "packages") else k): walk(v, k)
                for i, (k, v) in enumerate(value.items())
            }
        if isinstance(value, list):
            return [walk(item, key) for item in value]
        if isinstance(value, str) and key not in keep and value not in ("share",):
            if key in ("name", "first", "second") and value in ("litert", "executorch", "onnxruntime"):
                return value + text
            return text
        return value

    return Record.model_validate(walk(record.model_dump(mode="json"), ""))


def test_a_record_with_nothing_measured() -> None:
    page = parsed(render(minimal()))
    assert "net.py:model" in page.text
    assert "svg" not in page.seen and "table" not in page.seen


@pytest.mark.parametrize("count", [1, 3, 700])
def test_layers_of_any_number_make_a_chart(count: int) -> None:
    layers = tuple(LayerError(name=f"l{i}", sqnr_db=math.inf if i % 2 else -3.0) for i in range(count))
    page = parsed(render(minimal(layers=layers)))
    assert page.seen.count("rect") == count
    assert ("exact" in page.text) == (count > 1)


def test_vacuous_agreement_is_marked() -> None:
    parity = Parity(samples=1, elements=4, equal=1.0, vacuous=True)
    target = TargetEntry(name="litert", verdict="vacuous", parity=parity)
    text = parsed(render(minimal(verdict="vacuous", targets=(target,)))).text
    assert "vacuous: the outputs hardly depend on the input" in text


def test_a_float_program_shows_its_difference_and_tolerance() -> None:
    parity = Parity(samples=1, elements=4, max_abs=1.5e-6, tolerance=1e-4)
    target = TargetEntry(name="litert", verdict="pass", parity=parity)
    text = " ".join(parsed(render(minimal(targets=(target,)))).text.split())
    assert "Largest difference 1.5e-06 tolerance 0.0001" in text


def test_pictures_are_inlined_in_rows() -> None:
    rows = [[Picture("before", b"\x89PNG", "image/png"), Picture("after", b"\xff\xd8")]] * 2
    page = render(minimal(), pictures=rows)
    assert page.count('src="data:image/png;base64,iVBORw=="') == 2
    assert len(re.findall(r'<div class="pictures">', page)) == 2


def test_a_picture_of_another_type_is_our_bug() -> None:
    with pytest.raises(InternalError, match="picture of another media type: got image/svg"):
        Picture("before", b"<svg/>", "image/svg+xml")


def test_the_same_record_makes_the_same_page() -> None:
    assert render(sample.record()) == render(sample.record())
