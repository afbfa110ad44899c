"""SSRF guard: decide which addresses a URL may lead to.

The authors of posts are strangers, while this machine is inside the network: without the guard, a post's URL could
make it request private addresses (server-side request forgery).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from core.errors import SettingsError

_WEB_PORTS: Final = frozenset({80, 443})
_FREE_PORTS: Final = 1024
"""Ports below this one belong to well-known services."""

_V4_SPECIAL: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by a carrier's customers
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # Azure's metadata service, although the range is public
            "169.254.0.0/16",  # link-local, including metadata services of clouds
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks of networks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_V6_GLOBAL: Final = IPv6Network("2000::/3")
_V6_SPECIAL: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them, which carries an IPv4 address
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, which carries an IPv4 address
            "3fff::/20",  # documentation
        ),
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_BUCKET: Final = re.compile(r"(gs|s3)://[a-z0-9][a-z0-9._-]*[a-z0-9]/?")
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


def is_public(address: str) -> bool:
    """Check whether an IP address is reachable from the public internet.

    Follows IANA's registries of special-purpose addresses (RFC 6890 and its updates). Python's own `is_global` differs
    between Python versions.

    >>> is_public("8.8.8.8"), is_public("10.0.0.1"), is_public("::ffff:127.0.0.1")
    (True, False, False)
    """
    found = _inner(address)
    if isinstance(found, IPv4Address):
        return not any(found in network for network in _V4_SPECIAL)
    return found in _V6_GLOBAL and not any(found in network for network in _V6_SPECIAL)


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Allows public addresses, and those that the setting `fetch_allow` adds."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    buckets: frozenset[str] = frozenset()
    """Buckets, as `gs://<bucket>` or `s3://<bucket>`, that are read with this machine's credentials."""

    @classmethod
    def of(cls, entries: Iterable[str]) -> "AddressPolicy":
        """Parse the setting; raises `SettingsError` for an entry that is not a network, host or bucket."""
        networks, hosts, buckets = [], set(), set()
        for entry in entries:
            if _BUCKET.fullmatch(entry):
                buckets.add(entry.rstrip("/"))
                continue
            try:
                networks.append(ip_network(entry))
            except ValueError as error:
                host = entry.lower().rstrip(".")
                if "/" in entry or not _HOST.fullmatch(host) or host.replace(".", "").isdigit():
                    raise SettingsError(
                        f"MEMEWAX_FETCH_ALLOW: {entry!r} is neither a network such as 10.0.0.0/8, nor a host name, "
                        f"nor a bucket such as gs://images ({error})"
                    ) from None
                hosts.add(host)
        return cls(tuple(networks), frozenset(hosts), frozenset(buckets))

    def allows(self, host: str, address: str, port: int) -> bool:
        """Check whether to connect to `address`, which `host` resolved to."""
        if host.lower().rstrip(".") in self.hosts or any(_inner(address) in network for network in self.networks):
            return True
        return is_public(address) and (port in _WEB_PORTS or port >= _FREE_PORTS)


def _inner(address: str) -> IPv4Address | IPv6Address:
    """Return the address that is actually reached: for IPv6 forms of an IPv4 address, the latter."""
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return found.ipv4_mapped
        if found in _NAT64:
            return IPv4Address(found.packed[-4:])
    return found
