"""Merges replayed dead letters and requested deletes into the input of a flow."""

from collections.abc import Iterator
from concurrent.futures import Future

from bytewax import operators as op
from bytewax.dataflow import Stream, operator

from connectors.control.control_log import Request
from connectors.control.request_kinds import FORGET, REPLAY, deletes_in
from connectors.fetching.fetch import Fetching
from connectors.fetching.prefetch import ParsedItem
from connectors.sources.parse import parsed
from connectors.stored_dead_letters import message_of
from core.records import Arrival, DeadLetter, Post, Removal
from core.telemetry import REMOVALS
from operators.control_input import asked
from operators.posts_input import ParsedStreams, split_by_kind
from operators.prefetching_source import numbered
from operators.steps import map_batch


@operator
def replayed(
    step_id: str,
    posts: Stream[Arrival],
    dead_letters: Stream[DeadLetter],
    source_removals: Stream[Removal],
    requests: Stream[Request],
    fetcher: Fetching,
) -> ParsedStreams:
    """Merge replayed dead letters and requested deletes into the input; the join drops posts that did not fail."""
    again = map_batch("read", asked("asked", requests, REPLAY), lambda batch: list(replayed_items(batch, fetcher)))
    found = split_by_kind(again)
    forgotten = map_batch("forget", asked("asked_to_forget", requests, FORGET), deletes_of)
    return ParsedStreams(
        op.merge("posts", posts, found.oks),
        op.merge("letters", dead_letters, found.errs),
        op.merge("removals", source_removals, found.removals, forgotten),
    )


def deletes_of(requests: list[Request]) -> list[Removal]:
    """Return the deletes in requests, as a source would emit them."""
    found = [it for request in requests for it in deletes_in(request.body)]
    REMOVALS.labels("delete").inc(len(found))
    return found


def replayed_items(requests: list[Request], fetcher: Fetching) -> Iterator[ParsedItem]:
    """Parse the messages in requests and fetch their images, as the source would; waits for the images."""
    for request in requests:
        items = [parsed(message_of(dead_letter)) for dead_letter in request.body["letters"]]
        fetches = iter(fetcher.start([it for it in items if isinstance(it, Post)]))
        begun = [next(fetches) if isinstance(it, Post) else it for it in items]
        for item in begun:
            # The request's number makes it another arrival than the one that failed, but the same after a crash.
            yield numbered(item.result() if isinstance(item, Future) else item, salt=request.number)
