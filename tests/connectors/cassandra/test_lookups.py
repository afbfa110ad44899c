"""What follows from a row of posts, and how writes are ordered: without a server."""

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.cassandra.cassandra_place import CassandraPlace
from connectors.cassandra.cassandra_schema import cql_type, quoted
from connectors.cassandra.cassandra_values import from_cql, to_cql
from connectors.cassandra.lookups import (
    PARTS,
    hour_of,
    last_timestamp,
    listed_time,
    lookups_of,
    month_of,
    part_of,
    write_timestamp,
)
from core.columns import AnyJson, Binary, Flag, Integer, ListOf, Number, Struct, Text, VectorOf
from core.errors import SettingsError

NOW = datetime(2026, 7, 4, 12, 30, tzinfo=UTC)


def row(**fields: Any) -> dict[str, Any]:
    return {
        "global_id": "1_2-a", "post_id": "1-a", "url": "u", "author": "ann", "source": "a", "picture_sha256": "b" * 64,
        "duplicate_of": "9-a", "cluster": 4, "listed": NOW, **fields,
    }  # fmt: skip


def test_a_later_version_counts_more_and_a_delete_more_than_its_version() -> None:
    later = datetime(2100, 1, 1, tzinfo=UTC)
    assert (
        write_timestamp(1, NOW)
        < write_timestamp(1, later)
        < last_timestamp(1)
        < write_timestamp(2, NOW)
        < last_timestamp(2)
    )
    assert write_timestamp(1, NOW) > 0
    assert last_timestamp(2**40) < 2**63


def test_all_that_a_row_is_found_by() -> None:
    found = {table: [it.key for it in lookups_of(row()) if it.table == table] for table in
             ("posts_by_cluster", "posts_by_hour", "posts_by_name")}  # fmt: skip
    assert found["posts_by_cluster"] == [(4, 2026 * 12 + 6, NOW, "1_2-a")]
    assert found["posts_by_hour"] == [("a", hour_of(NOW), NOW, "1_2-a")]
    assert len(found["posts_by_name"]) == 5
    assert {key[1:] for key in found["posts_by_name"]} == {(part_of("1_2-a"), "1_2-a")}
    assert {it.table for it in lookups_of(row(cluster=-1))} == {"posts_by_hour", "posts_by_name"}
    assert 0 <= part_of("1_2-a") < PARTS


@pytest.mark.parametrize("created", ["", "nonsense", "9999-12-31T00:00:00Z", "0001-01-01", "2026-07-04T12:30:01Z"])
def test_a_made_up_time_makes_no_partition_of_its_own(created: str) -> None:
    assert listed_time(created, NOW) == NOW
    assert listed_time("2026-07-01T00:00:00Z", NOW) == datetime(2026, 7, 1, tzinfo=UTC)
    assert month_of(NOW) == 2026 * 12 + 6


def test_a_source_of_any_length_is_a_key() -> None:
    (key,) = [it.key[0] for it in lookups_of(row(source="x" * 100_000)) if it.table == "posts_by_hour"]
    assert len(key) == 32


@pytest.mark.parametrize(
    ("type_", "value", "cql", "kept"),
    [
        (Text(), "a", "text", "a"),
        (Integer(32), 7, "int", 7),
        (Integer(), 2**40, "bigint", 2**40),
        (Number(), 1, "double", 1.0),
        (Flag(), True, "boolean", True),
        (Binary(), b"a", "blob", b"a"),
        (VectorOf(2), [3.0, 4.0], "vector<float,2>", [3.0, 4.0]),
        (ListOf(Text()), ("a", "b"), "frozen<list<text>>", ["a", "b"]),
        (ListOf(Struct({"n": Number()})), [{"n": 1.5}], "text", '[{"n":1.5}]'),
        (AnyJson(), {"a": [1]}, "text", '{"a":[1]}'),
    ],
)
def test_values_are_kept_by_type(type_: Any, value: Any, cql: str, kept: Any) -> None:
    assert cql_type(type_) == cql
    assert to_cql("c", type_, value) == kept
    back = from_cql(type_, kept)
    assert back == (kept if isinstance(type_, AnyJson) else list(value) if isinstance(value, tuple) else value)
    assert to_cql("c", type_, None) is None is from_cql(type_, None)


@pytest.mark.parametrize(
    ("type_", "value"),
    [(Integer(32), 2**31), (Integer(), 1.5), (Text(), "\ud800"), (Text(), 3), (VectorOf(2), [0.0, 0.0]),
     (VectorOf(2), [1.0]), (VectorOf(2), [float("nan"), 1.0])],
)  # fmt: skip
def test_what_a_column_cannot_hold_is_null(type_: Any, value: Any) -> None:
    assert to_cql("c", type_, value) is None


@pytest.mark.parametrize("name", ['a"b', "a;b", "", "a\nb", "a" * 101])
def test_a_name_that_is_none_never_gets_into_cql(name: str) -> None:
    with pytest.raises(AssertionError):
        quoted(name)


@pytest.mark.parametrize(
    ("address", "hosts", "shown"),
    [
        ("cassandra://a/memes", (("a", 9042),), "cassandra://a:9042/memes"),
        ("cassandra://a:1/memes?host=b&host=c:2", (("a", 1), ("b", 9042), ("c", 2)),
         "cassandra://a:1/memes?host=b:9042&host=c:2"),
        ("cassandra://[::1]:1/memes?dc=near", (("::1", 1),), "cassandra://[::1]:1/memes"),
    ],
)  # fmt: skip
def test_addresses(address: str, hosts: tuple[tuple[str, int], ...], shown: str) -> None:
    place = CassandraPlace.of(address)
    assert (place.hosts, str(place)) == (hosts, shown)
    assert CassandraPlace.of(str(place)).hosts == hosts


@pytest.mark.parametrize(
    "address",
    ["cassandra://a", "cassandra://a/", "cassandra:///memes", "cassandra://a:x/memes", "cassandra://a/1memes",
     "cassandra://a/me-mes", "cassandra://a/m?other=1", "cassandra://a/m?host=", "cassandra://a/m/n",
     'cassandra://a/m";DROP', "cassandra://a/" + "m" * 49, "cassandra://a/memes#x"],
)  # fmt: skip
def test_what_is_no_address_is_one_line(address: str) -> None:
    with pytest.raises(SettingsError, match="is not cassandra://HOST:PORT/KEYSPACE"):
        CassandraPlace.of(address)
