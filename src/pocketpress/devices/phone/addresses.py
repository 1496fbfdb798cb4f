"""Which addresses a server answers to, and which of them a phone should open."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from dataclasses import dataclass

from pocketpress.core.errors import DeviceError, UserError

LOOPBACK = ("127.0.0.1", "localhost")
PROBE = ("192.0.2.1", 9)
"""TEST-NET-1, RFC 5737: no packet is sent to find the way there."""


@dataclass(frozen=True)
class Addresses:
    """Where a server is.

    Attributes:
        bind: address it listens on.
        names: host names and addresses that a browser may call it by; the first is shown.
        local: only this machine reaches it.
    """

    bind: str
    names: tuple[str, ...]
    local: bool

    def hosts(self, port: int) -> frozenset[str]:
        """Values of the Host header that are answered."""
        return frozenset(f"{bracketed(name)}:{port}" for name in self.names)


def addresses(host: str) -> Addresses:
    """Addresses for ``--host``.

    Raises:
        UserError: ``host`` is no address or name of this machine.
    """
    if not host.strip():
        raise UserError("--host is empty", next_step="give 0.0.0.0, or an address of this machine")
    if host in LOOPBACK:
        return Addresses("127.0.0.1", LOOPBACK, True)
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        try:
            resolved = socket.gethostbyname(host)
        except (OSError, UnicodeError) as error:  # of a name that no name can be
            raise UserError("--host has no address", got=host, next_step="give 0.0.0.0") from error
        local = ipaddress.ip_address(resolved).is_loopback
        return Addresses(resolved, (host, resolved, *LOOPBACK) if local else (host, resolved), local)
    if found.is_unspecified:
        own = own_addresses()
        return Addresses(host, (*own, *LOOPBACK), False)
    return Addresses(host, (host,), found.is_loopback)


def own_addresses() -> tuple[str, ...]:
    """IPv4 addresses of this machine that others may reach, the one towards the network first."""
    found: list[str] = []
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(PROBE)
        found.append(probe.getsockname()[0])
    with contextlib.suppress(OSError):
        found += [str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    kept = [a for a in dict.fromkeys(found) if not ipaddress.ip_address(a).is_loopback]
    if not kept:
        raise DeviceError(
            "this machine has no address in a network", next_step="connect it, or give --host ADDRESS"
        )
    return tuple(kept)


def bracketed(name: str) -> str:
    """An IPv6 address as it is written in an address line."""
    return f"[{name}]" if ":" in name else name
