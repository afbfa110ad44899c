"""Dead letters that are asked for again: their messages enter the flow once more, beside those of the source."""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import cast

from bytewax import operators as op
from bytewax.dataflow import Stream, operator

from connectors.control.control_log import Request
from connectors.control.request_kinds import REPLAY
from connectors.fetching.fetch import Fetching
from connectors.fetching.prefetch import ParsedItem
from connectors.letters import message_of
from connectors.sources.parse import post_or_letter
from core.records import Arrival, DeadLetter, Post
from operators.control_input import asked
from operators.prefetching_source import numbered
from operators.steps import map_batch, split


@dataclass(frozen=True, slots=True)
class WithReplayed:
    """What comes in, and what comes once more."""

    oks: Stream[Arrival]
    errs: Stream[DeadLetter]


@operator
def replayed(
    step_id: str,
    posts: Stream[Arrival],
    letters: Stream[DeadLetter],
    requests: Stream[Request],
    fetched: Fetching,
) -> WithReplayed:
    """Add what requests bring back; the join knows which of them failed, and drops the others."""
    again = map_batch("read", asked("asked", requests, REPLAY), lambda batch: list(again_in(batch, fetched)))
    either = split("valid", again, lambda item: isinstance(item, Arrival))
    return WithReplayed(
        op.merge("posts", posts, cast("Stream[Arrival]", either.trues)),
        op.merge("letters", letters, cast("Stream[DeadLetter]", either.falses)),
    )


def again_in(requests: list[Request], fetched: Fetching) -> Iterator[ParsedItem]:
    """What becomes of the messages in requests, as the source would have it; waits for their pictures."""
    for request in requests:
        items = [post_or_letter(message_of(told)) for told in request.body["letters"]]
        fetches = iter(fetched.start([it for it in items if isinstance(it, Post)]))
        begun = [next(fetches) if isinstance(it, Post) else it for it in items]
        for item in begun:
            # The number makes it another coming than the one that failed, and the same after a crash.
            yield numbered(item.result() if isinstance(item, Future) else item, salt=request.number)
