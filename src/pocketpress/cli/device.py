"""``pocketpress device``: what devices there are, setting one up, removing it again."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

app = typer.Typer(
    help="Devices that run artifacts: list them, set one up, remove it.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Name = Annotated[str, typer.Argument(help="a kind of device that needs set-up: arm64")]
Json = Annotated[bool, typer.Option("--json", help="print JSON on stdout instead of text")]


@app.callback(invoke_without_command=True)
def _device(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@app.command("list")
def list_(json_: Json = False) -> None:
    """List kinds of devices and phones that measured: what to type after --device, what needs set-up."""
    from rich.table import Table

    from pocketpress.cli.show import write, write_json
    from pocketpress.core.words import size
    from pocketpress.devices.store import own_store
    from pocketpress.pipeline.device_setup import kinds, phones

    found = (*kinds(), *phones(own_store()))
    if json_:
        write_json([asdict(kind) for kind in found])
        return
    table = Table("device", "--device", "what it is", "state", "on disk", box=None, pad_edge=False)
    for kind in found:
        disk = size(kind.disk_bytes) if kind.disk_bytes else ""
        table.add_row(kind.name, kind.typed, kind.what, kind.state, disk)
    write(table)


@app.command()
def setup(name: Name, json_: Json = False) -> None:
    """Fetch and unpack what a device needs, into the cache folder and without administrator's rights.

    arm64 takes some 145 MB of download and 300 MB of disk: qemu and an Arm64 Python from Debian, and the
    Arm64 wheels of the runtimes that are installed here.  Interrupted, it goes on from where it was.
    """
    from pocketpress.cli.show import write, write_json
    from pocketpress.core.words import duration, size
    from pocketpress.pipeline.device_setup import set_up

    seconds, kind = set_up(name, lambda line: typer.echo(line, err=True))
    if json_:
        write_json({"seconds": seconds, **asdict(kind)})
    else:
        write(f"{kind.name}: {kind.state} in {duration(seconds)}, {size(kind.disk_bytes)} in {kind.folder}")


@app.command()
def remove(name: Name, json_: Json = False) -> None:
    """Delete what a set-up brought."""
    from pocketpress.cli.show import write, write_json
    from pocketpress.core.words import size
    from pocketpress.pipeline.device_setup import remove as remove_

    freed = remove_(name)
    if json_:
        write_json({"name": name, "freed_bytes": freed})
    else:
        write(f"{name}: {size(freed)} freed" if freed else f"{name}: nothing was set up")
