"""``pocketpress bench``: measure artifacts on devices and phones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Artifacts = Annotated[list[Path], typer.Argument(help="artifacts, or folders that a press wrote")]
Phone = Annotated[bool, typer.Option("--phone", help="serve a page that any phone opens by scanning a code")]
Devices = Annotated[
    list[str] | None,
    typer.Option(
        "--device", help="host, arm64, ssh:USER@HOST or adb:SERIAL; once per device, or comma-separated"
    ),
]
Data = Annotated[
    str | None, typer.Option(help="samples to compare on; those of the press, or random ones, by default")
]
Samples = Annotated[int, typer.Option(min=1, max=64, help="samples compared with the reference, at most")]
Threads = Annotated[
    int | None, typer.Option(min=1, max=64, help="threads of the runtime; what the device has by default")
]
Sustained = Annotated[
    str | None, typer.Option(help="then run on for so long, as 5m, and see how heat slows it")
]
Backend = Annotated[
    str, typer.Option(help="of a phone's browser: auto, wasm, webgpu, or several, comma-separated")
]
Address = Annotated[
    str,
    typer.Option(help="address to serve on; 0.0.0.0 or this machine's own for phones in the same network"),
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="port to serve on; 0 takes a free one")]
Plain = Annotated[
    bool, typer.Option("--http", help="no encryption: browsers then give neither threads nor WebGPU")
]
Wait = Annotated[
    int | None, typer.Option(min=1, max=64, help="end when so many phones are done; else go on until Ctrl-C")
]
Timeout = Annotated[str | None, typer.Option(help="end after so long, as 10m, whatever has arrived")]
Json = Annotated[bool, typer.Option("--json", help="print JSON on stdout instead of a table")]


def bench(
    artifacts: Artifacts,
    phone: Phone = False,
    device: Devices = None,
    data: Data = None,
    samples: Samples = 8,
    threads: Threads = None,
    sustained: Sustained = None,
    backend: Backend = "auto",
    host: Address = "127.0.0.1",
    port: Port = 0,
    http: Plain = False,
    wait: Wait = None,
    timeout: Timeout = None,
    json_: Json = False,
) -> None:
    """Run artifacts on devices and phones: the same numbers there, how fast, and is that steady?

    What was measured is kept, goes into the record and the report of the press that made the artifact, and
    is what `press --device NAME --max-latency` judges by.
    """
    from pocketpress.core.errors import UserError

    if not phone and not device:
        raise UserError("nothing to measure on", next_step="give --phone, or --device NAME")
    if phone and device:
        raise UserError("--phone and --device are two commands", next_step="give one of them")
    if device:
        from datetime import datetime, timezone

        from pocketpress.cli import units
        from pocketpress.cli.devices import bench_on_devices

        bench_on_devices(
            artifacts,
            ",".join(device),
            data=data,
            samples=samples,
            threads=threads or 1,
            sustained_s=units.span(sustained, "--sustained") or 0.0,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            as_json=json_,
        )
