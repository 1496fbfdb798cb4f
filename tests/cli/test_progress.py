"""What a terminal shows while a press runs."""

from __future__ import annotations

import io

from rich.console import Console

from pocketpress.cli.show import LiveEvents


def test_a_stage_shows_how_far_it_is_and_how_long_it_takes_yet() -> None:
    clock = [0.0]
    console = Console(file=io.StringIO(), force_terminal=True, width=120, get_time=lambda: clock[0])
    events = LiveEvents(console)
    with events.stage("learn rounding", 17) as advance:
        for _ in range(5):
            clock[0] += 30
            advance()
        with console.capture() as capture:
            console.print(events.bars)
    assert "learn rounding" in capture.get() and "5/17" in capture.get()
    assert "0:06:00" in capture.get()  # twelve blocks of 30 s
