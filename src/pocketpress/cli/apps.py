"""``pocketpress app``: the applications that come with the package."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    help="Applications that come with Pocketpress.",
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _apps() -> None: ...  # a group of one command stays a group


@app.command("photo")
def photo(
    host: Annotated[
        str, typer.Option(help="address to listen on; 0.0.0.0 lets other machines in, over plain http")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            help="port; 0 for any free one. What a browser keeps for offline use belongs to one port",
        ),
    ] = 8770,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="open it in the browser")] = True,
) -> None:
    """Enhance photos in the browser, on the device: a page that works offline after the first visit."""
    import contextlib
    import webbrowser

    from pocketpress.web.photo_server import PhotoServer

    server = PhotoServer(host, port)
    typer.echo(server.address)
    typer.echo("photos stay in the browser; Ctrl+C ends the server", err=True)
    if open_:
        webbrowser.open(server.address)
    with contextlib.suppress(KeyboardInterrupt):  # the way to end a server
        server.serve()
