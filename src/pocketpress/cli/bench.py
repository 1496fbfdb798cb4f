"""``pocketpress bench``: measure artifacts on devices and phones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pocketpress.pipeline.bench.phone_tasks import PhoneOptions
    from pocketpress.pipeline.bench.phones import Serving

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
        _on_devices(artifacts, device, data, samples, threads, sustained, as_json=json_)
        return
    from pocketpress.cli import units
    from pocketpress.pipeline.bench.phone_tasks import PhoneOptions
    from pocketpress.pipeline.bench.phones import Serving

    options = PhoneOptions(
        artifacts=tuple(artifacts),
        data=data,
        samples=samples,
        threads=threads,
        sustained_s=units.period(sustained, "--sustained") or 0.0,
        backends=tuple(part.strip() for part in backend.split(",") if part.strip()),
    )
    how = Serving(host=host, port=port, plain=http, wait=wait, timeout_s=units.period(timeout, "--timeout"))
    _on_phones(options, how, as_json=json_)


def _on_phones(options: PhoneOptions, how: Serving, *, as_json: bool) -> None:
    from datetime import datetime, timezone

    from pocketpress.cli import bench_show, show
    from pocketpress.core.errors import DeviceError
    from pocketpress.devices.store import own_store
    from pocketpress.pipeline.bench.phone_tasks import prepare_work
    from pocketpress.pipeline.bench.phones import bench_phones, check_serving

    check_serving(how)
    with show.live() as events:
        work = prepare_work(options, events)
    with bench_show.watching() as watch:
        result = bench_phones(
            work,
            how,
            own_store(),
            lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"),
            watch,
        )
    if not result.entries and result.interrupted:
        raise KeyboardInterrupt
    bench_show.found(result, work, as_json=as_json)
    if any(entry.verdict in ("fail", "vacuous") for entry in result.entries.values()):
        raise typer.Exit(3)
    if result.problems or (how.wait is not None and result.lost) or not result.entries:
        lost = f"{', '.join(result.lost)} did not finish" if result.lost else "no phone measured anything"
        raise DeviceError(
            "not everything was measured and kept",
            got="; ".join(result.problems[:2]) or lost,
            next_step="run the command again",
        )


def _on_devices(
    artifacts: list[Path],
    devices: list[str],
    data: str | None,
    samples: int,
    threads: int | None,
    sustained: str | None,
    *,
    as_json: bool,
) -> None:
    from datetime import datetime, timezone

    from pocketpress.cli import units
    from pocketpress.devices.store import own_store
    from pocketpress.pipeline.bench.named import reachable_devices

    sustained_s = units.period(sustained, "--sustained") or 0.0
    reachable_devices(",".join(devices), own_store())  # before anything heavy is imported

    from pocketpress.cli import show
    from pocketpress.cli.devices import benched
    from pocketpress.pipeline.bench.devices import bench_devices

    with show.live() as events:
        found = bench_devices(
            artifacts,
            ",".join(devices),
            data=data,
            samples=samples,
            threads=threads or 1,
            sustained_s=sustained_s,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            events=events,
        )
    benched(found, as_json=as_json)
