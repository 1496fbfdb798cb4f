"""Who measures: leases, reloads, vanished phones.  The time is an argument, so nothing here waits."""

from __future__ import annotations

import pytest

from pocketpress.core.errors import ArtifactError, UserError
from pocketpress.devices.phone.messages import Beat, Bye, Capabilities, Hello, Result
from pocketpress.devices.phone.sessions import Patience, Sessions
from pocketpress.devices.store import NOBODY, slug

TASKS = ("a-auto", "b-auto")


def hello(phone: str = "phone-1x", tab: str = "tab-1xxx", *, name: str = "", over: bool = False) -> Hello:
    return Hello(phone=phone, tab=tab, name=name, capabilities=Capabilities(model="Pixel 7"), take_over=over)


def result(task: str = "a-auto", phone: str = "phone-1x", tab: str = "tab-1xxx") -> Result:
    return Result(phone=phone, tab=tab, task=task, outcome="refused", reason="no SIMD")


def beat(phone: str = "phone-1x", tab: str = "tab-1xxx") -> Beat:
    return Beat(phone=phone, tab=tab, task="a-auto", doing="loading")


def states(sessions: Sessions, now: float) -> list[str]:
    return [view.state for view in sessions.views(now)]


def test_from_hello_to_done() -> None:
    sessions = Sessions(TASKS)
    welcome = sessions.hello(hello(), 0)
    assert (welcome.name, welcome.lease, welcome.done) == ("pixel-7", True, ())
    assert states(sessions, 1) == ["waiting"]
    assert sessions.beat(beat(), 1)
    assert states(sessions, 2) == ["measuring"]
    assert sessions.result(result("a-auto"), 3)
    assert states(sessions, 3) == ["measuring"]
    assert sessions.result(result("b-auto"), 4)
    assert states(sessions, 5) == ["done"]
    assert states(sessions, 5000) == ["done"], "a phone that is done may leave"


def test_phones_of_one_model_have_names_of_their_own() -> None:
    sessions = Sessions(TASKS)
    names = [sessions.hello(hello(phone=f"phone-{i}x"), 0).name for i in range(3)]
    assert names == ["pixel-7", "pixel-7-2", "pixel-7-3"]
    assert sessions.hello(hello(phone="phone-4x", name="Anna's \x1b[0m phone"), 0).name == "anna-s-0m-phone"


def test_a_phone_has_the_name_that_it_had_before() -> None:
    """Whoever comes first."""
    owners = {"pixel-7": "phone-1x", "pixel-7-2": "phone-2x"}
    sessions = Sessions(TASKS, owners=owners)
    names = {
        phone: sessions.hello(hello(phone=phone), 0).name for phone in ("phone-2x", "phone-3x", "phone-1x")
    }
    assert names == {"phone-2x": "pixel-7-2", "phone-3x": "pixel-7-3", "phone-1x": "pixel-7"}


def test_a_name_is_taken_over_where_nobody_is_known_to_have_it() -> None:
    sessions = Sessions(TASKS, owners={"pixel-7": None, "pixel-7-2": "phone-9x"})
    names = [sessions.hello(hello(phone=f"phone-{i}x"), 0).name for i in range(2)]
    assert names == ["pixel-7", "pixel-7-3"]


def test_no_phone_has_the_name_of_another_device() -> None:
    sessions = Sessions(TASKS, owners={"host": NOBODY, "ssh:pi": NOBODY})
    assert sessions.hello(hello(name="host"), 0).name == "host-2"
    assert sessions.hello(hello(phone="phone-2x", name="ssh:pi"), 0).name == "ssh-pi"
    long = [sessions.hello(hello(phone=f"phone-{i}y", name="n" * 64), 0).name for i in range(2)]
    assert slug(long[0]) == long[0] != long[1] == slug(long[1])


def test_a_reload_goes_on_with_the_same_name() -> None:
    sessions = Sessions(TASKS)
    sessions.hello(hello(), 0)
    sessions.result(result("a-auto"), 1)
    sessions.bye(Bye(phone="phone-1x", tab="tab-1xxx"))
    assert states(sessions, 1) == ["closed"]
    again = sessions.hello(hello(tab="tab-2xxx"), 2)
    assert (again.name, again.lease, again.done) == ("pixel-7", True, ("a-auto",))
    assert states(sessions, 2) == ["waiting"]


def test_the_second_tab_waits_or_takes_over() -> None:
    sessions = Sessions(TASKS)
    sessions.hello(hello(), 0)
    assert not sessions.hello(hello(tab="tab-2xxx"), 1).lease
    assert sessions.beat(beat(), 2), "the first tab goes on"
    with pytest.raises(UserError, match="another tab"):
        sessions.result(result(tab="tab-2xxx"), 2)
    assert sessions.hello(hello(tab="tab-2xxx", over=True), 3).lease
    assert not sessions.beat(beat(), 4), "the first tab hears that it lost its turn"
    with pytest.raises(UserError, match="another tab"):
        sessions.result(result(), 4)
    assert sessions.views(5)[0].results == {}


def test_a_silent_tab_loses_its_turn() -> None:
    sessions = Sessions(TASKS, Patience(silent_s=10, gone_s=60))
    sessions.hello(hello(), 0)
    assert not sessions.hello(hello(tab="tab-2xxx"), 9).lease
    assert sessions.hello(hello(tab="tab-2xxx"), 11).lease


def test_a_phone_that_vanishes_and_comes_back() -> None:
    sessions = Sessions(TASKS, Patience(silent_s=10, gone_s=60))
    sessions.hello(hello(), 0)
    sessions.beat(beat(), 1)
    assert [states(sessions, t)[0] for t in (10, 12, 61, 62)] == ["measuring", "silent", "silent", "gone"]
    assert sessions.beat(beat(), 100)
    assert states(sessions, 100) == ["measuring"]


def test_a_result_counts_once() -> None:
    sessions = Sessions(TASKS)
    sessions.hello(hello(), 0)
    assert sessions.result(result(), 1)
    other = result().model_copy(update={"reason": "sent again"})
    assert not sessions.result(other, 2)
    assert sessions.views(2)[0].results["a-auto"].reason == "no SIMD"


def test_strangers() -> None:
    sessions = Sessions(TASKS, limit=2)
    for call in (sessions.beat, sessions.result):
        with pytest.raises(ArtifactError, match="not known"):
            call(beat() if call == sessions.beat else result(), 0)  # type: ignore[arg-type]
    sessions.bye(Bye(phone="phone-9x", tab="tab-9xxx"))
    sessions.hello(hello("phone-1x"), 0)
    with pytest.raises(ArtifactError, match="no such task"):
        sessions.result(result("c-auto"), 0)
    sessions.hello(hello("phone-2x"), 0)
    with pytest.raises(UserError, match="too many phones: got 3; allowed: 2"):
        sessions.hello(hello("phone-3x"), 0)
    assert len(sessions.views(0)) == 2
