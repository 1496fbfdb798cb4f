"""Draw the page: one HTML file without scripts, links or anything to fetch."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from pocketpress.core.errors import InternalError
from pocketpress.core.record import Record
from pocketpress.report import charts, devices, layers, view

MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp")


@dataclass(frozen=True)
class Picture:
    """An encoded picture to put into the page.

    Attributes:
        caption: a few words.
        content: the encoded bytes.
        media_type: one of `MEDIA_TYPES`.
    """

    caption: str
    content: bytes
    media_type: str = "image/jpeg"

    def __post_init__(self) -> None:
        if self.media_type not in MEDIA_TYPES:
            raise InternalError("picture of another media type", got=self.media_type, allowed=MEDIA_TYPES)

    @property
    def data(self) -> str:
        """The picture as a ``data:`` address."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.content).decode()}"


def render(record: Record, *, pictures: Sequence[Sequence[Picture]] = (), title: str | None = None) -> str:
    """Render a record.

    Args:
        record: what to show; nothing is computed from it but positions and texts.
        pictures: rows of pictures (before, after, ...), the same number in each row.
        title: of the page; by default the network's source.
    """
    kind, shown = view.VERDICTS[record.verdict]
    return _template().render(
        title=title or record.source.reference,
        record=record,
        verdict=shown,
        verdict_kind=kind,
        explained=view.EXPLAINED[record.verdict],
        counts=view.counts(record.targets),
        cards=[view.card(target) for target in record.targets],
        size_chart=charts.size_chart(record.targets, record.limits),
        latency_chart=charts.latency_chart(record.targets, record.limits),
        drop_chart=charts.drop_chart(record.targets, record.limits),
        drop_words=[
            (t.title or t.name, t.metric.words) for t in record.targets if t.metric and t.metric.words
        ],
        metric=next((t.metric for t in record.targets if t.metric is not None), None),
        step_rows=view.step_rows(record),
        parity_rows=view.parity_rows(record.targets),
        matrix=view.matrix(record),
        device_rows=devices.device_rows(record.targets),
        layer_chart=charts.layer_chart(record.layers),
        worst_layers=charts.worst_layers(record.layers),
        cost_rows=layers.cost_rows(record),
        stage_chart=charts.stage_chart(record.stages),
        groups=view.facts_of(record),
        decibels=view.decibels,
        pictures=pictures,
        css=_css(),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("pocketpress", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


@cache
def _css() -> Markup:
    return Markup(resources.files("pocketpress.report").joinpath("page.css").read_text(encoding="utf-8"))
