"""The steps of the flow that answers queries: their input, the work, and their output."""

import threading
from pathlib import Path
from typing import Final, cast

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.operators import KeyedStream
from connectors.sources.messages import Messages

from connectors.endpoints import is_file, is_kafka, kafka_address
from connectors.kafka.kafka_sink import KafkaSink, OutMessage
from connectors.kafka.kafka_source import KafkaTopic
from connectors.sinks.answer_table import AnswerTable
from connectors.sinks.jsonl_sink import JsonlSink
from connectors.sources.json_lines import JsonLines
from connectors.sources.source import Source
from core.errors import SettingsError
from core.records import Failed, Message
from core.telemetry import ANSWERS, QUERIES, log
from operators.operator_settings import QuerySettings
from search import answering
from search.answer import ANSWERS as ANSWERS_TABLE
from search.answer import (
    ANSWERS_SCHEMA,
    RESULTS_SCHEMA,
    Answer,
    answer_row,
    json_of_answer,
    json_of_sentence_embedding,
    result_row,
)
from search.answer import RESULTS as RESULTS_TABLE
from search.answering import EmbeddedQuery, Embedders
from search.open_corpora import OpenCorpora
from search.query import BadQueryError, Query, parse_first_version, parse_query

PARSE: Final = "parse"
_KAFKA: Final = {"linger.ms": "0", "socket.nagle.disable": "true"}
"""Somebody waits for each message; what comes while one is under way is sent together all the same."""


def queries_in(step_id: str, flow: Dataflow, settings: QuerySettings) -> Stream[Message]:
    """Messages from the topic or file of queries."""
    return op.input(step_id, flow, Messages(_source(settings)))


def read_queries(
    step_id: str, messages: Stream[Message], settings: QuerySettings
) -> tuple[Stream[Query], Stream[Answer]]:
    """Queries, and answers to those that are none."""
    parse = parse_query if settings.queries_form == "memewax" else parse_first_version

    def read(batch: list[Message]) -> list[Query | Answer]:
        QUERIES.inc(len(batch))
        return [_read(message) for message in batch]

    def _read(message: Message) -> Query | Answer:
        try:
            return parse(message, settings.corpus)
        except BadQueryError as error:
            return Answer(error.id, error=Failed.of(PARSE, error))

    either = op.flat_map_batch(step_id, messages, read)
    split = op.branch(f"{step_id}_valid", either, lambda item: isinstance(item, Query))
    return cast("Stream[Query]", split.trues), cast("Stream[Answer]", split.falses)


def embed_queries(step_id: str, queries: Stream[Query], models: Embedders) -> Stream[EmbeddedQuery]:
    """The vector of each query, or why it has none."""
    return op.flat_map_batch(step_id, queries, lambda batch: answering.embed(batch, models))


def find_nearest(step_id: str, embedded: Stream[EmbeddedQuery], settings: QuerySettings) -> Stream[Answer]:
    """The answer to each query."""
    corpora = OpenCorpora.of(settings)
    log.info("ready to answer", rows=corpora.open_all())
    lock = threading.Lock()  # workers that are threads share the corpora

    def nearest(batch: list[EmbeddedQuery]) -> list[Answer]:
        with lock:
            return answering.search(batch, corpora)

    return op.flat_map_batch(step_id, embedded, nearest)


def tap_embeddings(step_id: str, embedded: Stream[EmbeddedQuery], settings: QuerySettings) -> None:
    """Sentences with their vectors into the second topic of the first version, where the settings name it."""
    if not settings.sentence_embeddings:
        return

    def bodies(batch: list[EmbeddedQuery]) -> list[tuple[str, OutMessage]]:
        return [
            (it.query.id, OutMessage(it.query.id.encode(), json_of_sentence_embedding(it.query.text, it.vector)))
            for it in batch
            if it.query.text and not isinstance(it.vector, Failed)
        ]

    messages = op.flat_map_batch(f"{step_id}_bodies", embedded, bodies)
    op.output(step_id, messages, _topic(settings.sentence_embeddings, settings))


def write_answers(step_id: str, answers: Stream[Answer], settings: QuerySettings) -> None:
    """Answers to their topic or file, and into a table of the store."""

    def counted(batch: list[Answer]) -> list[Answer]:
        failed = sum(answer.error is not None for answer in batch)
        ANSWERS.labels("error").inc(failed)
        ANSWERS.labels("found").inc(len(batch) - failed)
        return batch

    answers = op.flat_map_batch(f"{step_id}_counted", answers, counted)
    if is_kafka(settings.answers):
        topic = _topic(settings.answers, settings)
        op.output(f"{step_id}_topic", _messages(f"{step_id}_messages", answers, topic.max_bytes), topic)
    elif is_file(settings.answers):
        file = JsonlSink(Path(settings.answers), step_id)
        file.check()
        lines = op.map(f"{step_id}_lines", answers, lambda answer: (answer.id, json_of_answer(answer)))
        op.output(f"{step_id}_file", lines, file)
    elif settings.answers:
        raise SettingsError(f"answers go to kafka://HOST:PORT/TOPIC or a .jsonl file, not to {settings.answers!r}")
    first_version = settings.queries_form == "first-version"
    row = result_row if first_version else answer_row
    name, schema = (RESULTS_TABLE, RESULTS_SCHEMA) if first_version else (ANSWERS_TABLE, ANSWERS_SCHEMA)
    table = AnswerTable(settings.store, name, schema)
    table.check()
    op.output(f"{step_id}_table", op.map(f"{step_id}_rows", answers, lambda it: (it.id, row(it))), table)


def _messages(step_id: str, answers: Stream[Answer], max_bytes: int) -> KeyedStream[OutMessage]:
    def message(answer: Answer) -> tuple[str, OutMessage]:
        made = OutMessage(answer.id.encode(), json_of_answer(answer))
        if made.size <= max_bytes:
            return answer.id, made
        reason = f"the answer has {len(made.value)} bytes, too many for the topic: ask for fewer than {answer.k} hits"
        short = Answer(answer.id, "", answer.corpus, answer.k, answer.model, error=Failed(step_id, "TooLarge", reason))
        return answer.id, OutMessage(made.key, json_of_answer(short))

    return op.map(step_id, answers, message)


def _source(settings: QuerySettings) -> Source:
    address = settings.queries
    follow = is_kafka(address) if settings.follow is None else settings.follow
    if is_kafka(address):
        brokers, topic = kafka_address(address)
        return KafkaTopic(
            brokers,
            topic,
            follow=follow,
            batch=settings.query_batch,
            config={**_KAFKA, **settings.kafka},
            timeout=settings.kafka_timeout_seconds,
        )
    if is_file(address):
        return JsonLines(
            Path(address),
            follow=follow,
            parts=settings.file_parts,
            block_bytes=settings.file_block_bytes,
            batch=settings.query_batch,
        )
    raise SettingsError(
        f"no queries at {address!r}: set MEMEWAX_QUERIES (or --from) to kafka://HOST:PORT/TOPIC or a .jsonl file"
    )


def _topic(address: str, settings: QuerySettings) -> KafkaSink:
    brokers, topic = kafka_address(address)
    sink = KafkaSink(brokers, topic, config={**_KAFKA, **settings.kafka}, timeout=settings.kafka_timeout_seconds)
    sink.check()
    return sink
