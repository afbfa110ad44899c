"""OpenTelemetry traces: a span for each batch in a step, linked to its posts, and W3C trace contexts of posts.

Traces are off unless a collector is set, and then need the extra `traces`. While they are off, nothing of OpenTelemetry
is imported, and a step only reads one attribute.

A post takes its context from its message (`traceparent` header), or gets a new one if there is none. A record or answer
that is sent carries a context of the same trace.
"""

from collections.abc import Iterable, Sequence
from contextvars import Token
from typing import Any, Final

from core import __version__
from core.extras import needs_extra
from core.log_lines import TRACE

HEADER: Final = "traceparent"
_MOST_LINKS: Final = 128
"""Posts of a batch that its span links to; an attribute holds their number."""
_PATH: Final = "/v1/traces"

Headers = tuple[tuple[str, bytes | None], ...]


class BatchSpan:
    """The span of one batch, until `end`; meanwhile log lines carry the id of its trace."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Any) -> None:
        self._span = span
        self._token: Token[str] = TRACE.set(f"{span.get_span_context().trace_id:032x}")

    def end(self, error: BaseException | None) -> None:
        """End the span; `error` is what the batch raised, if anything."""
        TRACE.reset(self._token)
        if error is not None:
            self._span.record_exception(error)
            self._span.set_attribute("error", value=True)
        self._span.end()


class Traces:
    """The tracer of this process; off until `begin`."""

    def __init__(self) -> None:
        self.is_on = False
        """Whether traces are on."""
        self._tracer: Any = None
        self._provider: Any = None

    def begin(self, address: str, worker: int = 0) -> None:
        """Start to send spans to an OTLP collector over HTTP; does nothing if the address is empty.

        Args:
            address: `http://HOST:PORT`, or a URL with a path.
            worker: Index of this process among those of the flow.

        Raises:
            WorldError: if the extra `traces` is not installed.
        """
        if not address or self.is_on:
            return
        with needs_extra("traces", "MEMEWAX_TRACES"):
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import SpanLimits, TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        own = {"service.name": "memewax", "service.version": __version__, "service.instance.id": str(worker)}
        limits = SpanLimits(max_links=_MOST_LINKS, max_attribute_length=200)
        self._provider = TracerProvider(resource=Resource.create(own), span_limits=limits)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(_whole(address))))
        self._tracer = self._provider.get_tracer("memewax", __version__)
        self.is_on = True

    def end(self) -> None:
        """Flush the spans, and stop tracing."""
        self.is_on = False
        provider, self._provider, self._tracer = self._provider, None, None
        if provider is not None:
            provider.shutdown()

    def batch(self, step: str, items: int, of: Iterable[Any]) -> BatchSpan:
        """Start the span of a batch in a step, linked to the posts in `of`."""
        from opentelemetry.trace import Link

        found = list(dict.fromkeys(filter(None, map(trace_of, of))))[:_MOST_LINKS]
        links = [Link(_span_context(it)) for it in found]
        return BatchSpan(self._tracer.start_span(step, links=links, attributes={"memewax.items": items}))

    def received(self, what: str, id_: str, headers: Headers) -> str:
        """Record that a post or query was received; returns its context, in the trace of its headers or in a new one.

        Empty if traces are off.
        """
        return self._moment(f"receive {what}", id_, _parent(headers), is_sent=False)

    def sent(self, what: str, id_: str, trace: str) -> Headers:
        """Record that something of a trace is sent; returns the header with its context, or none if traces are off."""
        context = self._moment(f"send {what}", id_, trace, is_sent=True)
        return ((HEADER, context.encode()),) if context else ()

    def _moment(self, name: str, id_: str, parent: str, *, is_sent: bool) -> str:
        if self._tracer is None:
            return ""
        from opentelemetry.trace import SpanKind, set_span_in_context

        kind = SpanKind.PRODUCER if is_sent else SpanKind.CONSUMER
        context = _context(parent) if parent else None
        span = self._tracer.start_span(name, context, kind=kind, attributes={"memewax.id": id_})
        span.end()
        return _traceparent(set_span_in_context(span))


TRACES: Final = Traces()


def trace_of(item: Any) -> str:
    """Return the context of an item that belongs to a post or query (keyed or not), or of a context; empty if none."""
    if isinstance(item, str):
        return item
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
        item = item[1]
    for inner in (item, getattr(item, "post", None), getattr(item, "query", None)):
        found = getattr(inner, "trace", None)
        if isinstance(found, str):
            return found
    return ""


def trace_id(trace: str) -> str:
    """Return the trace id of a context, as in log lines; empty if there is none."""
    parts = trace.split("-")
    return parts[1] if len(parts) == 4 else ""


def _parent(headers: Sequence[tuple[str, bytes | None]]) -> str:
    """Return the context in untrusted headers; an invalid one is refused where it is parsed."""
    found = next((value for name, value in headers if name == HEADER and value), b"")
    return found.decode("ascii", "replace") if len(found) <= 64 else ""


def _context(trace: str) -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({HEADER: trace})


def _span_context(trace: str) -> Any:
    """Parse a context for a link; it was created by this process, and so is valid."""
    from opentelemetry.trace import SpanContext, TraceFlags

    _, trace_id_, span_id, flags = trace.split("-")
    return SpanContext(int(trace_id_, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _traceparent(context: Any) -> str:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, context)
    return carrier.get(HEADER, "")


def _whole(address: str) -> str:
    scheme, _, rest = address.partition("://")
    return address if "/" in rest.rstrip("/") else f"{scheme}://{rest.rstrip('/')}{_PATH}"
