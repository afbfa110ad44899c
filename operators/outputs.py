"""The outputs of a flow: records to any number of sinks, and dead letters to a sink of their own."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, cast

import orjson
from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from connectors.chosen_endpoints import Destinations
from connectors.control.control_log import FOLDER, Request
from connectors.control.request_kinds import COMPACT
from connectors.custom_columns import with_custom_columns
from connectors.endpoint import Endpoint, SinkOptions
from connectors.endpoints import POSTS_TO
from connectors.sinks.cluster_events import CLUSTERS, event_row, in_pieces, json_of_event, row_of_event
from connectors.sinks.record_table import stored_posts
from connectors.sinks.refusing_sink import OfPost, Refusable, RefusingSink
from connectors.sinks.rows import (
    dead_letters_of,
    headers_of_dead_letter,
    json_of_dead_letter,
    json_of_row,
    row_of,
)
from connectors.sinks.sink import MessageSink, OutMessage, Row, Sink, TableCommand, TableItem
from connectors.sources.removal_form import body_of_removal
from connectors.stored_dead_letters import forget_removed, names_in
from core.records import Arrival, ClusterEvent, DeadLetter, Post, Record, Removal, Thumbnail
from core.removals import PostNames, ids_of
from core.telemetry import observe_ages, sink_name
from core.traces import TRACES
from operators import dead_letter_log, steps
from operators.operator_settings import OutputSettings
from operators.recovered import full_id, sink_steps, states_of

STAGE: Final = "write"

TABLE_KINDS: Final = frozenset({COMPACT.name})
"""Requests that table writers execute, in order with the rows."""
_FILE: Final = SinkOptions("write_file")

X = TypeVar("X")
ItemsOf = Callable[[list[X]], list[TableItem]]
KeyedItemsOf = Callable[[list[X]], list[tuple[str, TableItem]]]


class Outgoing(NamedTuple):
    """A record that is about to be written."""

    post: Post
    row: Row
    json: bytes
    """Empty if no sink takes messages."""


@operator
def write_records(
    step_id: str,
    up: Stream[Record],
    settings: OutputSettings,
    dimensions: Mapping[str, int],
    removals: Stream[Removal] | None = None,
    requests: Stream[Request] | None = None,
    events: Stream[ClusterEvent] | None = None,
    posts: Stream[Arrival] | None = None,
) -> Stream[DeadLetter]:
    """Write records to every sink of the settings.

    Failures in a record become dead letters, and so do records that are too large for a topic. A store also executes
    requests for its tables, and updates the cluster ids of its rows after merges and splits. A removal deletes rows in
    a store, becomes a tombstone in a topic, and a line in a file, whose other lines stay.

    Args:
        step_id: Name of the step.
        up: The records.
        settings: Settings of the outputs.
        dimensions: Embedding dimension by stage.
        removals: Deletes, and accounts that hide or show their posts.
        requests: Requests for tables.
        events: Changes of clusters.
        posts: Posts with their thumbnails, which a store keeps. They bypass the join, whose state would be ten times as
            large with them.

    Returns:
        The dead letters.
    """
    destinations = Destinations.of(settings)
    sinks, state = destinations.sinks, destinations.state(settings.state_dir)
    stored, log_of = _stored_at(state), partial(_log_of, state)
    with_json = not all(it.takes_rows for it in sinks)
    dead_letters = [steps.map_batch("failures", up, _failures)]
    rows = steps.map_batch("rows", up, lambda batch: _outgoing(batch, with_json), measured="rows")
    outer = full_id(up, step_id)
    named = sink_steps(f"{outer}.sink", [it.place for it in sinks], settings.recovery)
    for number, (it, name) in enumerate(zip(sinks, named, strict=True)):
        if it.takes_rows:
            sink = it.table_sink(with_custom_columns(stored_posts(dimensions), settings), stored, settings)
            to_each = _to_each_part(sink)
            keyed = steps.map_batch(f"rows_{number}", rows, _keyed_rows)
            if events is not None:
                renamings = steps.map_batch(f"events_{number}", events, to_each(_renamings))
                keyed = op.merge(f"renamed_{number}", keyed, renamings)
            if removals is not None:
                gone = steps.map_batch(f"removals_{number}", removals, to_each(_removals))
                keyed = op.merge(f"removed_{number}", keyed, gone)
            if posts is not None:
                small = steps.map_batch(f"thumbnails_{number}", posts, _keyed_thumbnails)
                keyed = op.merge(f"shown_{number}", keyed, small)
            marks = states_of(settings.recovery, f"{outer}.{name}")
            steps.write(name, _with_orders(number, keyed, requests, log_of(it), to_each), sink, marks)
        else:
            dead_letters += _write_messages(
                number, outer, name, rows, it, settings, lambda it: (it.post, it.json), removals, _tombstones
            )
    return op.merge("letters", *dead_letters)


@operator
def write_posts(
    step_id: str, up: Stream[Post], settings: OutputSettings, removals: Stream[Removal] | None = None
) -> Stream[DeadLetter]:
    """Write posts, as they were read, and removals to every sink of the settings.

    Posts that are too large for a topic become dead letters, which are returned.
    """
    dead_letters = [steps.map_batch("none", up, _no_dead_letters)]
    sinks = Destinations.of(settings, POSTS_TO).sinks
    outer = full_id(up, step_id)
    named = sink_steps(f"{outer}.sink", [it.place for it in sinks], settings.recovery)
    for number, (it, name) in enumerate(zip(sinks, named, strict=True)):
        dead_letters += _write_messages(
            number, outer, name, up, it, settings, lambda post: (post, post.message.value), removals, _as_read
        )
    return op.merge("letters", *dead_letters)


@operator
def write_cluster_events(
    step_id: str, up: Stream[ClusterEvent], settings: OutputSettings, requests: Stream[Request] | None = None
) -> None:
    """Write changes of clusters to every store among the sinks, and to their own sink if there is one.

    A store also executes requests for its tables.
    """
    destinations = Destinations.of(settings)
    state = destinations.state(settings.state_dir)
    outer = full_id(up, step_id)
    stores = [it for it in destinations.sinks if it.takes_rows]
    named = sink_steps(f"{outer}.store", [it.place for it in stores], settings.recovery)
    for number, (it, name) in enumerate(zip(stores, named, strict=True)):
        table = it.table_sink(CLUSTERS, _stored_at(state), settings)
        keyed = steps.map_batch(f"rows_{number}", up, _keyed_events)
        rows = _with_orders(number, keyed, requests, _log_of(state, it), _to_each_part(table))
        steps.write(name, rows, table, states_of(settings.recovery, f"{outer}.{name}"))
    if destinations.cluster_events is not None:
        messages = steps.map_batch("messages", up, _event_messages)
        sink = destinations.cluster_events.message_sink(SinkOptions("clusters"), settings)
        steps.write("events", messages, sink, states_of(settings.recovery, f"{outer}.events"))


@operator
def write_dead_letters(
    step_id: str, settings: OutputSettings, removals: Stream[Removal], *dead_letters: Stream[DeadLetter]
) -> None:
    """Write dead letters to their sink, with the original bytes and the reason.

    Dead letters of removed posts are blanked in a file, and refused if they arrive later.
    """
    options, chosen = SinkOptions("dead_letters", oversize="cut"), Destinations.of(settings).dead_letters
    sink, path = chosen.message_sink(options, settings), chosen.path
    refusing = RefusingSink(
        sink, settings.forget_memory_days, None if path is None else lambda removed: forget_removed(path, removed)
    )
    messages = steps.map_batch("messages", op.merge("all", *dead_letters), lambda batch: _dead_messages(batch, sink))
    gone = steps.map_batch("removals", removals, lambda batch: _to_all_partitions(sink, batch))
    marks = states_of(settings.recovery, f"{full_id(dead_letters[0], step_id)}.sink")
    steps.write("sink", op.merge("items", messages, gone), refusing, marks)


def _write_messages(
    number: int,
    outer: str,
    name: str,
    up: Stream[X],
    endpoint: Endpoint[Any],
    settings: OutputSettings,
    body: Callable[[X], tuple[Post, bytes]],
    removals: Stream[Removal] | None,
    messages_of: Callable[[MessageSink, list[Removal]], list[tuple[str, Refusable]]],
) -> list[Stream[DeadLetter]]:
    """Write a message for each item; returns the dead letters of items that are too large, if the sink has a limit."""
    sink = endpoint.message_sink(_FILE, settings)
    marks = states_of(settings.recovery, f"{outer}.{name}")
    called = sink_name(endpoint.place)

    def bodies(batch: list[X]) -> list[tuple[Post, bytes]]:
        made = [body(it) for it in batch]
        observe_ages(called, [post.ingestion_time for post, _ in made])
        return made

    def write(messages: KeyedStream[Refusable]) -> None:
        if removals is not None:
            gone = steps.map_batch(
                f"removals_{number}",
                removals,
                lambda batch: [*_to_all_partitions(sink, batch), *messages_of(sink, batch)],
            )
            messages = op.merge(f"removed_{number}", messages, gone)
        steps.write(name, messages, RefusingSink(sink, settings.forget_memory_days), marks)

    if sink.max_bytes is None:
        write(steps.map_batch(f"messages_{number}", up, lambda batch: [_message(*it, sink) for it in bodies(batch)]))
        return []
    either = steps.map_batch(f"messages_{number}", up, lambda batch: [_fitting(*it, sink) for it in bodies(batch)])
    fit = steps.split(f"fit_{number}", either, lambda it: not isinstance(it, DeadLetter))
    write(cast("KeyedStream[Refusable]", fit.trues))
    return [cast("Stream[DeadLetter]", fit.falses)]


def _with_orders(
    number: int,
    rows: KeyedStream[TableItem],
    requests: Stream[Request] | None,
    log: str,
    to_each: Callable[[ItemsOf[Request]], KeyedItemsOf[Request]],
) -> KeyedStream[TableItem]:
    """Merge the requests of the store's control log into the rows of a table."""
    if requests is None:
        return rows

    def orders(batch: list[Request]) -> list[TableItem]:
        return [TableCommand(it.kind, it.body) for it in batch if it.log == log and it.kind in TABLE_KINDS]

    return op.merge(f"items_{number}", rows, steps.map_batch(f"orders_{number}", requests, to_each(orders)))


def _stored_at(state: Path) -> SinkOptions:
    return SinkOptions("store", state=state)


def _log_of(state: Path, store: Endpoint[Any]) -> str:
    """Return the control log of a store."""
    return str((store.path or state).resolve() / FOLDER)


def _to_each_part(sink: Sink[TableItem]) -> Callable[[ItemsOf[X]], KeyedItemsOf[X]]:
    """Return a function that sends items to every partition of a sink, since any may hold the rows concerned."""
    keys = sink.part_keys()

    def to_each(items_of: ItemsOf[X]) -> KeyedItemsOf[X]:
        return lambda batch: [(key, it) for it in items_of(batch) for key in keys]

    return to_each


def _message(post: Post, value: bytes, sink: MessageSink) -> tuple[str, OfPost]:
    headers = TRACES.sent("record", post.global_id, post.trace) if sink.has_headers else ()
    return post.global_id, OfPost(OutMessage(post.global_id.encode(), value, headers), PostNames.of(post))


def _fitting(post: Post, value: bytes, sink: MessageSink) -> tuple[str, OfPost] | DeadLetter:
    keyed = _message(post, value, sink)
    if sink.fits(keyed[1].message):
        return keyed
    reason = f"the record has {len(value)} bytes, too many for the topic"
    return DeadLetter(post.message, STAGE, "TooLarge", reason, post.global_id, post.trace)


def _no_dead_letters(_: list[Post]) -> list[DeadLetter]:
    """Return none, so that there is a stream of dead letters even if no sink refuses a post."""
    return []


def _failures(records: list[Record]) -> list[DeadLetter]:
    return [dead_letter for record in records for dead_letter in dead_letters_of(record)]


def _outgoing(records: list[Record], with_json: bool) -> list[Outgoing]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    rows = [row_of(record, now) for record in records]
    return [
        Outgoing(record.post, row, json_of_row(row) if with_json else b"")
        for record, row in zip(records, rows, strict=True)
    ]


def _keyed_rows(batch: list[Outgoing]) -> list[tuple[str, TableItem]]:
    return [(it.post.global_id, it.row) for it in batch]


def _keyed_events(events: list[ClusterEvent]) -> list[tuple[str, TableItem]]:
    return [(str(event_row(event)), row_of_event(event)) for event in events]


def _renamings(events: list[ClusterEvent]) -> list[TableItem]:
    return [event for event in events if event.into is not None]


def _removals(batch: list[Removal]) -> list[TableItem]:
    return [*batch]


def _keyed_thumbnails(batch: list[Arrival]) -> list[tuple[str, TableItem]]:
    """Key each thumbnail like the row of its post."""
    return [
        (it.post.global_id, Thumbnail(it.post, it.thumbnail, it.width, it.height))
        for it in batch
        if it.thumbnail is not None
    ]


def _to_all_partitions(sink: MessageSink, batch: list[Removal]) -> list[tuple[str, Refusable]]:
    """Send deletes to every partition of a sink."""
    keys = sink.part_keys()
    return [(key, it) for it in batch if it.hidden is None for key in keys]


def _tombstones(sink: MessageSink, batch: list[Removal]) -> list[tuple[str, Refusable]]:
    """Make tombstones for all records that may exist, if the sink has keys; otherwise a message with the removal."""
    if not sink.has_headers:
        return [(key := _name_of(it), OutMessage(key.encode(), orjson.dumps(body_of_removal(it)))) for it in batch]
    gone = [key for it in batch if it.hidden is None for key in ids_of(it)]
    return [(key, OutMessage(key.encode(), None)) for key in gone]


def _as_read(_: MessageSink, batch: list[Removal]) -> list[tuple[str, Refusable]]:
    """Return the original messages of removals, for readers of the posts."""
    return [(key := _name_of(it), OutMessage(key.encode(), it.message.value)) for it in batch]


def _name_of(it: Removal) -> str:
    return it.global_id or it.post_id or it.url or it.account


def _event_messages(events: list[ClusterEvent]) -> list[tuple[str, OutMessage]]:
    pieces = [piece for event in events for piece in in_pieces(event)]
    keys = [str(event_row(piece)) for piece in pieces]
    return [(key, OutMessage(key.encode(), json_of_event(it))) for key, it in zip(keys, pieces, strict=True)]


def _dead_messages(dead_letters: list[DeadLetter], sink: MessageSink) -> list[tuple[str, Refusable]]:
    """Make messages of dead letters: the original body, and the reason in headers or, without headers, both as JSON."""
    dead_letter_log.log_dead_letters(dead_letters)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")

    def message(it: DeadLetter) -> OutMessage:
        if sink.has_headers:
            return OutMessage(it.message.key, it.message.value, headers_of_dead_letter(it, now))
        return OutMessage(None, json_of_dead_letter(it, now))

    return [(it.message.origin, OfPost(message(it), names_in(it.message, it.global_id))) for it in dead_letters]
