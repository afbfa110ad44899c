"""Which addresses a post may lead to."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.fetching.address_policy import AddressPolicy, is_public
from core.errors import SettingsError

NOBODY = AddressPolicy()

PRIVATE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.32.0.0",
    "192.167.255.255",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001:800::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_of_the_public_web_is_refused(address: str) -> None:
    assert not NOBODY.allows("images.example", address, 443)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_web_is_permitted(address: str) -> None:
    assert NOBODY.allows("images.example", address, 443)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_nothing_is_public_that_the_standard_library_calls_otherwise(address: IPv4Address | IPv6Address) -> None:
    if address.is_private or address.is_multicast or address.is_link_local or address.is_loopback:
        assert not is_public(str(address))


@given(st.ip_addresses(v=4))
def test_an_address_is_no_better_inside_another(address: IPv4Address) -> None:
    assert is_public(f"::ffff:{address}") == is_public(str(address))
    assert is_public(f"64:ff9b::{address}") == is_public(str(address))


@pytest.mark.parametrize(
    ("port", "permitted"), [(80, True), (443, True), (8080, True), (22, False), (25, False), (1023, False)]
)
def test_of_known_services_only_the_web_s_own_ports_are_permitted(port: int, permitted: bool) -> None:
    assert NOBODY.allows("images.example", "1.1.1.1", port) is permitted


@pytest.mark.parametrize(
    ("entry", "host", "address"),
    [
        ("10.0.0.0/8", "a.example", "10.9.8.7"),
        ("10.0.0.0/8", "a.example", "::ffff:10.9.8.7"),
        ("127.0.0.1", "localhost", "127.0.0.1"),
        ("fd00::/8", "a.example", "fd00::1"),
        ("images.internal", "images.internal", "10.0.0.1"),
        ("Images.Internal.", "IMAGES.internal.", "10.0.0.1"),
    ],
)
def test_a_setting_permits_more_at_any_port(entry: str, host: str, address: str) -> None:
    assert AddressPolicy.of([entry]).allows(host, address, 81)


@pytest.mark.parametrize(
    ("entry", "host", "address"),
    [
        ("10.0.0.0/8", "a.example", "11.0.0.0"),
        ("10.0.0.0/8", "a.example", "192.168.0.1"),
        ("images.internal", "evil.images.internal", "10.0.0.1"),
        ("images.internal", "images.internal.evil", "10.0.0.1"),
    ],
)
def test_a_setting_permits_no_more_than_it_says(entry: str, host: str, address: str) -> None:
    assert not AddressPolicy.of([entry]).allows(host, address, 81)


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "10.0.0.0/33", "999.1.1.1", "http://here", "a b", "[::1]", "here:80"])
def test_an_entry_that_is_no_network_and_no_host_is_an_error_that_names_it(entry: str) -> None:
    with pytest.raises(SettingsError, match="MEMEWAX_FETCH_ALLOW") as caught:
        AddressPolicy.of([entry])
    assert repr(entry) in str(caught.value)
