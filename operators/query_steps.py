"""The steps of the flow that answers queries: input, embedding, search and output."""

import threading
from dataclasses import dataclass, replace
from typing import Final, cast

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream, operator
from bytewax.operators import KeyedStream

from connectors.endpoint import SinkOptions
from connectors.endpoints import ANSWERS_TO, EMBEDDINGS_TO, QUERIES_FROM, endpoint
from connectors.folder import Folder
from connectors.sinks.sink import MessageSink, OutMessage, TableItem
from connectors.sources.several import Several
from connectors.sources.source import PlacedSource
from core.records import Failure, Message
from core.telemetry import ANSWERS, QUERIES, log
from core.traces import TRACES
from operators import steps
from operators.message_source import MessageSource
from operators.operator_settings import QuerySettings
from operators.recovered import full_id, states_of
from search import answering
from search.answer import ANSWERS as ANSWERS_TABLE
from search.answer import (
    RESULTS,
    Answer,
    answer_row,
    json_of_answer,
    json_of_sentence_embedding,
    result_row,
)
from search.answering import EmbeddedQuery, Embedders
from search.open_corpora import OpenCorpora
from search.query import BadQueryError, Query, parse_first_version, parse_query

PARSE: Final = "parse"
STAGE: Final = "answers"


@dataclass(frozen=True, slots=True)
class ReadQueries:
    """Parsed queries."""

    oks: Stream[Query]
    errs: Stream[Answer]
    """Error answers to messages that are not queries."""


@operator
def queries_in(step_id: str, flow: Dataflow, settings: QuerySettings) -> Stream[Message]:
    """Read messages from the topic or file of queries."""
    states = states_of(settings.recovery, f"{flow.flow_id}.{step_id.rpartition('.')[2]}.input")
    known = {part: state["position"] for part, state in states.items()}
    return steps.read("input", flow, MessageSource(Several([_source(settings)], known)))


@operator
def read_queries(step_id: str, messages: Stream[Message], settings: QuerySettings) -> ReadQueries:
    """Parse queries, and answer invalid ones with an error."""
    parse = parse_query if settings.queries_form == "memewax" else parse_first_version

    def read(batch: list[Message]) -> list[Query | Answer]:
        QUERIES.inc(len(batch))
        return [_read(message) for message in batch]

    def _read(message: Message) -> Query | Answer:
        try:
            query = parse(message, settings.corpus)
        except BadQueryError as error:
            trace = TRACES.received("query", error.id, message.headers)
            return Answer(error.id, error=Failure.of(PARSE, error), trace=trace)
        if not TRACES.is_on:
            return query
        return replace(query, trace=TRACES.received("query", query.id, message.headers))

    either = steps.split("valid", steps.map_batch("parse", messages, read), lambda item: isinstance(item, Query))
    return ReadQueries(cast("Stream[Query]", either.trues), cast("Stream[Answer]", either.falses))


@operator
def embed_queries(step_id: str, queries: Stream[Query], models: Embedders) -> Stream[EmbeddedQuery]:
    """Embed each query; one that fails carries the reason."""
    return steps.map_batch("infer", queries, lambda batch: answering.embed(batch, models))


@operator
def find_nearest(step_id: str, embedded: Stream[EmbeddedQuery], settings: QuerySettings) -> Stream[Answer]:
    """Answer each query with the nearest texts or images of its corpus."""
    corpora = OpenCorpora.of(settings)
    log.info("ready to answer", rows=corpora.open_all())
    lock = threading.Lock()  # worker threads share the corpora

    def nearest(batch: list[EmbeddedQuery]) -> list[Answer]:
        with lock:
            return answering.search(batch, corpora)

    return steps.map_batch("search", embedded, nearest)


@operator
def tap_embeddings(step_id: str, embedded: Stream[EmbeddedQuery], settings: QuerySettings) -> None:
    """Write sentences with their vectors to where the first version published them."""
    found = endpoint(settings.sentence_embeddings, EMBEDDINGS_TO)
    sink = found.message_sink(SinkOptions("tap", prompt=True), settings)

    def bodies(batch: list[EmbeddedQuery]) -> list[tuple[str, OutMessage]]:
        made = []
        for it in batch:
            if it.query.text and not isinstance(it.vector, Failure):
                message = OutMessage(it.query.id.encode(), json_of_sentence_embedding(it.query.text, it.vector))
                if sink.fits(message):
                    made.append((it.query.id, message))
                else:
                    log.warning("too large to be written", id=it.query.id, bytes=message.size)
        return made

    marks = states_of(settings.recovery, f"{full_id(embedded, step_id)}.sink")
    steps.write("sink", steps.map_batch("bodies", embedded, bodies), sink, marks)


@operator
def write_answers(step_id: str, settings: QuerySettings, *answered: Stream[Answer]) -> None:
    """Write answers to their topic or file, and to a table of the store."""

    def counted(batch: list[Answer]) -> list[Answer]:
        failed = sum(answer.error is not None for answer in batch)
        ANSWERS.labels("error").inc(failed)
        ANSWERS.labels("found").inc(len(batch) - failed)
        return batch

    outer = full_id(answered[0], step_id)
    answers = steps.map_batch("count", op.merge("all", *answered), counted)
    if settings.answers:
        found = endpoint(settings.answers, ANSWERS_TO)
        sink = found.message_sink(SinkOptions("answers", prompt=True, oversize="cut"), settings)
        name = "file" if found.topic is None else "topic"
        marks = states_of(settings.recovery, f"{outer}.{name}")
        steps.write(name, _messages("messages", answers, sink), sink, marks)
    first_version = settings.queries_form == "first-version"
    row, table = (result_row, RESULTS) if first_version else (answer_row, ANSWERS_TABLE)
    rows: KeyedStream[TableItem] = steps.map_batch("rows", answers, lambda batch: [(it.id, row(it)) for it in batch])
    table_sink = Folder.at(settings.store).table_sink(table, SinkOptions("answers"), settings)
    steps.write("table", rows, table_sink, states_of(settings.recovery, f"{outer}.table"))


def _messages(step_id: str, answers: Stream[Answer], sink: MessageSink) -> KeyedStream[OutMessage]:
    def message(answer: Answer) -> tuple[str, OutMessage]:
        headers = TRACES.sent("answer", answer.id, answer.trace) if sink.has_headers else ()
        made = OutMessage(answer.id.encode(), json_of_answer(answer), headers)
        if sink.fits(made):
            return answer.id, made
        reason = f"the answer has {made.size} bytes, too many for the topic: ask for fewer than {answer.k} hits"
        short = Answer(answer.id, "", answer.corpus, answer.k, answer.model, error=Failure(STAGE, "TooLarge", reason))
        return answer.id, made._replace(value=json_of_answer(short))

    return steps.map_each(step_id, answers, message)


def _source(settings: QuerySettings) -> PlacedSource:
    found = endpoint(settings.queries, QUERIES_FROM)
    options = replace(settings.options_of(found), batch=settings.query_batch, prompt=True, are_posts=False)
    return found.source(options, settings)
