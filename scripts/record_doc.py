"""Write docs/formats/record.md from the models in `pocketpress.core.record`.

python scripts/record_doc.py            write the page
python scripts/record_doc.py --check    exit 1 when the page on disk differs
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pocketpress.core.record import FORMAT, MAX_RECORD_BYTES, Record
from pocketpress.core.signature import Preprocessing, Signature, TensorSpec

PAGE = Path(__file__).resolve().parent.parent / "docs" / "formats" / "record.md"

BORDER: dict[str, type] = {kind.__name__: kind for kind in (Signature, TensorSpec, Preprocessing)}

HEAD = f"""# `record.json`, format {FORMAT}

<!-- Written by scripts/record_doc.py from src/pocketpress/core/record.py; edit there. -->

Every press leaves one `record.json` beside its artifacts: what was done, what was left alone and why, and
what was measured. `report.html` is drawn from it and computes nothing of its own.

Rules

- UTF-8 JSON, at most {MAX_RECORD_BYTES >> 20} MiB. `format` is {FORMAT}; a reader refuses a format or a
  field it does not know. A field that is added later has a default and raises `format`.
- A field is `null` (or an empty list) when its stage did not run: a number that was not measured is never
  written as 0. The field `skipped` says why.
- Times are seconds, sizes bytes, shares lie in 0 ... 1. A `drop` is positive when the artifact is worse than
  the float network, whichever way the metric points.
- Decibels without any error at all are the string `"Infinity"`; NaN never appears.
- The file is replaced atomically: the old one or the new one is there, never a part.

Verdicts of a target, and of the whole press (the worst of its targets)

| verdict | meaning |
|---|---|
| `pass` | everything that was measured keeps what was promised |
| `fail` | a promise is broken; `reasons` says which (exit code 3) |
| `vacuous` | the outputs hardly depend on the input, so agreement proves nothing (exit code 3) |
| `not executed here` | converted and checked structurally; the runtime does not run on this machine |
| `skipped` | no artifact was made; `reasons` says why |

In Python: `pocketpress.core.record.Record.read(path)`.
"""


def render() -> str:
    """The whole page as Markdown."""
    schema = Record.model_json_schema(mode="serialization")
    definitions: dict[str, Any] = schema["$defs"]
    sections = [HEAD, "## Record", "", _table(schema)]
    for name in _order(schema, definitions):
        body = definitions[name]
        sections += ["", f"## {name}", "", _summary(name, body), "", _table(body, _attributes(name))]
    return "\n".join(sections) + "\n"


def _order(schema: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    """Definitions in the order in which a reader meets them."""
    found: list[str] = []

    def visit(node: Any) -> None:
        if isinstance(node, dict):
            name = str(node.get("$ref", "")).removeprefix("#/$defs/")
            if name and name not in found:
                found.append(name)
                visit(definitions[name])
            for key, value in node.items():
                if key != "$defs":
                    visit(value)
        elif isinstance(node, list):
            for value in node:
                visit(value)

    visit(schema)
    return found


def _summary(name: str, body: dict[str, Any]) -> str:
    text = inspect.getdoc(BORDER[name]) if name in BORDER else str(body.get("description", ""))
    return (text or "").split("\n\n")[0].replace("\n", " ").replace("``", "`")


def _attributes(name: str) -> dict[str, str]:
    """Meanings of the fields of a plain dataclass, from the "Attributes:" part of its docstring."""
    text = (inspect.getdoc(BORDER[name]) or "") if name in BORDER else ""
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text.partition("Attributes:")[2], re.MULTILINE)
    return {field: " ".join(meaning.split()).replace("``", "`").rstrip(".") for field, meaning in entries}


def _table(body: dict[str, Any], meanings: Mapping[str, str] = MappingProxyType({})) -> str:
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    required = set(body.get("required", ()))
    for name, field in body["properties"].items():
        default = "required" if name in required and "default" not in field else _default(field)
        meaning = str(field.get("description", meanings.get(name, ""))).replace("|", "\\|")
        rows.append(f"| `{name}` | {_type(field)} | {default} | {meaning} |")
    return "\n".join(rows)


def _default(field: dict[str, Any]) -> str:
    if "default" not in field:
        return "empty"
    value = field["default"]
    if value is None:
        return "null"
    if value in ([], {}, ""):
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].removeprefix("#/$defs/")
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        kinds = [_type(kind) for kind in field["anyOf"] if kind.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind = field.get("type", "any")
    if kind == "array":
        if "prefixItems" in field:
            return "[" + ", ".join(_type(item) for item in field["prefixItems"]) + "]"
        return f"list of {_type(field['items'])}"
    if kind == "object":
        return f"object of {_type(field['additionalProperties'])}"
    if field.get("pattern", "").endswith("{64}$"):
        return "64 hex digits"
    if kind == "number" and field.get("minimum") == 0 and field.get("maximum") == 1:
        return "share"
    return str(kind)


def main(arguments: list[str] | None = None) -> int:
    """Write or check the page; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit 1 when the page differs")
    options = parser.parse_args(arguments)
    text = render()
    if options.check:
        return 0 if PAGE.exists() and PAGE.read_text() == text else 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
