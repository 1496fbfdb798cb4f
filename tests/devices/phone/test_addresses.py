"""Which names a server answers to."""

from __future__ import annotations

import pytest

from pocketpress.core.errors import UserError
from pocketpress.devices.phone.addresses import addresses, own_addresses


def test_loopback_by_default() -> None:
    for host in ("127.0.0.1", "localhost"):
        found = addresses(host)
        assert found.local and found.bind == "127.0.0.1"
        assert found.hosts(80) == {"127.0.0.1:80", "localhost:80"}


def test_every_address_means_the_ones_this_machine_has() -> None:
    found = addresses("0.0.0.0")
    assert not found.local and found.bind == "0.0.0.0"
    assert found.names[0] == own_addresses()[0]
    assert "0.0.0.0:9" not in found.hosts(9), "no browser calls it by that name"


def test_one_address() -> None:
    found = addresses("192.0.2.7")
    assert (found.local, found.names) == (False, ("192.0.2.7",))
    assert addresses("::1").local
    assert addresses("2001:db8::1").hosts(5) == {"[2001:db8::1]:5"}


@pytest.mark.parametrize("host", ["", "  "])
def test_an_empty_one(host: str) -> None:
    with pytest.raises(UserError, match="--host is empty; give 0"):
        addresses(host)


def test_a_name_that_no_name_can_be() -> None:
    with pytest.raises(UserError, match="--host has no address"):
        addresses("a" * 70 + ".example")


def test_no_address() -> None:
    with pytest.raises(UserError, match="--host has no address"):
        addresses("no.such.host.invalid")
