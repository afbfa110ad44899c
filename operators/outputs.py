"""The outputs of a flow: records into any number of sinks, dead letters into one of their own."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from bytewax import operators as op
from bytewax.dataflow import Stream
from bytewax.operators import KeyedStream

from connectors.endpoints import is_file, is_kafka, kafka_address
from connectors.kafka.kafka_sink import KafkaSink, OutMessage
from connectors.sinks.jsonl_sink import JsonlSink
from connectors.sinks.rows import (
    Row,
    dead_letters_of,
    headers_of_dead_letter,
    json_of_dead_letter,
    json_of_row,
    row_of,
)
from core.errors import SettingsError
from core.records import ClusterEvent, DeadLetter, Post, Record
from core.telemetry import DEAD_LETTERS, step
from operators.operator_settings import OutputSettings

if TYPE_CHECKING:
    from connectors.store.posts_table import StoreSink

STAGE: Final = "write"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Line:
    """A record on its way out of the flow."""

    record: Record
    row: Row
    json: bytes


def write_records(
    step_id: str, records: Stream[Record], settings: OutputSettings, dimensions: tuple[int, int]
) -> Stream[DeadLetter]:
    """Write records to every sink of the settings, each as a row.

    Args:
        step_id: Name of the steps.
        records: What to write.
        settings: `to` names the sinks.
        dimensions: Of the image and of the text vectors.

    Returns:
        Dead letters: what failed in the records, and records too large for a topic.
    """
    if not settings.to:
        raise SettingsError("no sink: set MEMEWAX_TO (or --to) to a folder, a .jsonl file or kafka://HOST:PORT/TOPIC")
    _check_distinct(settings)
    letters = [op.flat_map_batch(f"{step_id}_failures", records, _failures)]
    with_json = any(map(_is_line, settings.to))
    lines = op.flat_map_batch(f"{step_id}_rows", records, lambda batch: _lines(batch, with_json))
    for number, address in enumerate(settings.to):
        name = f"{step_id}_{number}"
        if is_kafka(address):
            topic = _topic(address, settings)
            fit = op.branch(f"{name}_fit", lines, _fits(topic.max_bytes, _message))
            op.output(name, _keyed(name, fit.trues, _message), topic)
            letters.append(
                op.map(f"{name}_too_large", fit.falses, lambda line: _too_large(line.record.post, line.json))
            )
        elif is_file(address):
            op.output(name, _keyed(name, lines, lambda line: line.json), _file(address, "write_file"))
        else:
            op.output(name, _keyed(name, lines, lambda line: line.row), _store(address, dimensions))
    return op.merge(f"{step_id}_letters", *letters)


def write_cluster_events(step_id: str, events: Stream[ClusterEvent], settings: OutputSettings) -> None:
    """Write what becomes of clusters to every store among the sinks, and to the sink of its own, if there is one."""
    for number, address in enumerate(settings.to):
        if not _is_line(address):
            from connectors.store.cluster_events import ClusterSink, row_of_event  # a second to import

            name = f"{step_id}_{number}"
            sink = ClusterSink(Path(address))
            sink.check()
            op.output(name, op.map(f"{name}_row", events, lambda it: (str(it.cluster), row_of_event(it))), sink)
    if settings.cluster_events:
        from connectors.store.cluster_events import json_of_event

        lines = op.map(f"{step_id}_json", events, lambda it: (str(it.cluster), json_of_event(it)))
        if is_kafka(settings.cluster_events):
            messages = op.map(
                f"{step_id}_messages", lines, lambda line: (line[0], OutMessage(line[0].encode(), line[1]))
            )
            op.output(step_id, messages, _topic(settings.cluster_events, settings))
        else:
            op.output(step_id, lines, _file(settings.cluster_events, step_id))


def write_posts(step_id: str, posts: Stream[Post], settings: OutputSettings) -> list[Stream[DeadLetter]]:
    """Write posts to the files and topics of the settings, as they were read; gives what is too large for a topic."""
    if not settings.to or not all(map(_is_line, settings.to)):
        raise SettingsError("posts go to a .jsonl file or to kafka://HOST:PORT/TOPIC: set MEMEWAX_TO (or --to)")
    _check_distinct(settings)
    letters = []
    for number, address in enumerate(settings.to):
        name = f"{step_id}_{number}"
        if is_kafka(address):
            topic = _topic(address, settings)
            fit = op.branch(f"{name}_fit", posts, _fits(topic.max_bytes, _post_message))
            op.output(name, op.map(f"{name}_key", fit.trues, lambda post: (post.global_id, _post_message(post))), topic)
            letters.append(op.map(f"{name}_too_large", fit.falses, lambda post: _too_large(post, post.message.value)))
        else:
            lines = op.map(f"{name}_key", posts, lambda post: (post.global_id, post.message.value))
            op.output(name, lines, _file(address, "write_file"))
    return letters


def write_dead_letters(step_id: str, letters: Stream[DeadLetter], settings: OutputSettings) -> None:
    """Write dead letters to their sink, with the bytes that were read and what went wrong."""
    address = settings.dead_letters_to
    if is_kafka(address):
        messages = op.map(f"{step_id}_messages", letters, _dead_message)
        op.output(step_id, messages, _topic(address, settings, oversize="cut"))
    elif is_file(address):
        lines = op.map(f"{step_id}_lines", letters, _dead_line)
        op.output(step_id, lines, _file(address, step_id))
    else:
        raise SettingsError(f"dead letters go to a .jsonl file or to kafka://HOST:PORT/TOPIC, not to {address!r}")


def _check_distinct(settings: OutputSettings) -> None:
    """Two writers would cut each other's file, and what is written into the source would be read as posts."""
    seen = set()
    source = Path(settings.source or "no source").resolve()
    for address in filter(None, (*settings.to, settings.dead_letters_to, settings.cluster_events)):
        place = address if is_kafka(address) else str(Path(address).resolve())
        if is_file(address) and source.is_dir() and Path(place).is_relative_to(source):
            raise SettingsError(f"{address} lies in the source, {settings.source}: name a place outside of it")
        if place in seen:
            raise SettingsError(f"{address} is named twice among the sinks: each needs a place of its own")
        seen.add(place)


def _is_line(address: str) -> bool:
    return is_file(address) or is_kafka(address)


def _topic(address: str, settings: OutputSettings, oversize: Literal["raise", "cut"] = "raise") -> KafkaSink:
    brokers, topic = kafka_address(address)
    sink = KafkaSink(brokers, topic, config=settings.kafka, timeout=settings.kafka_timeout_seconds, oversize=oversize)
    sink.check()
    return sink


def _file(address: str, name: str) -> JsonlSink:
    sink = JsonlSink(Path(address), name)
    sink.check()
    return sink


def _store(address: str, dimensions: tuple[int, int]) -> "StoreSink":
    from connectors.store.posts_table import StoreSink  # a second to import

    sink = StoreSink(Path(address), *dimensions)
    sink.check()
    return sink


def _failures(records: list[Record]) -> list[DeadLetter]:
    return [letter for record in records for letter in dead_letters_of(record)]


def _lines(records: list[Record], with_json: bool) -> list[_Line]:
    with step("rows", len(records)):
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        rows = [row_of(record, now) for record in records]
        return [
            _Line(record, row, json_of_row(row) if with_json else b"")
            for record, row in zip(records, rows, strict=True)
        ]


def _keyed(name: str, lines: Stream[_Line], value: Callable[[_Line], T]) -> KeyedStream[T]:
    def keyed(batch: list[_Line]) -> list[tuple[str, T]]:
        return [(line.record.post.global_id, value(line)) for line in batch]

    return op.flat_map_batch(f"{name}_key", lines, keyed)


def _message(line: _Line) -> OutMessage:
    return OutMessage(line.record.post.global_id.encode(), line.json)


def _fits(max_bytes: int, message: Callable[[T], OutMessage]) -> Callable[[T], bool]:
    return lambda item: message(item).size <= max_bytes


def _post_message(post: Post) -> OutMessage:
    return OutMessage(post.global_id.encode(), post.message.value)


def _too_large(post: Post, value: bytes) -> DeadLetter:
    reason = f"the record has {len(value)} bytes, too many for the topic"
    return DeadLetter(post.message, STAGE, "TooLarge", reason, post.global_id)


def _dead_message(letter: DeadLetter) -> tuple[str, OutMessage]:
    DEAD_LETTERS.labels(letter.stage).inc()
    message = OutMessage(letter.message.key, letter.message.value, headers_of_dead_letter(letter))
    return letter.message.origin, message


def _dead_line(letter: DeadLetter) -> tuple[str, bytes]:
    DEAD_LETTERS.labels(letter.stage).inc()
    return letter.message.origin, json_of_dead_letter(letter)
