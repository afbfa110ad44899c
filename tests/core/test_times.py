"""One reading of times, whoever asks."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import lancedb
import orjson
import pyarrow as pa
import pytest

from connectors.services.rate_limit import RateLimiter
from connectors.sources.parse import parse_post
from core.records import Message
from core.times import duration_in_words, parse_time, seconds_to_wait, time_or_none
from search.cleaning import ParseCreated
from search.cluster_summaries import summaries
from search.corpus_columns import Draft
from search.corpus_layout import PostsLayout
from search.query import parse_query

MORNING = datetime(2023, 12, 11, 8, tzinfo=UTC)
NOW = datetime(2026, 1, 2, tzinfo=UTC)

FORMS: dict[Any, datetime] = {
    "20231211": datetime(2023, 12, 11, tzinfo=UTC),
    "2023-12-11": datetime(2023, 12, 11, tzinfo=UTC),
    "2023/12/11": datetime(2023, 12, 11, tzinfo=UTC),
    "2023-12-11T08:00:00Z": MORNING,
    "2023-12-11T09:00:00+01:00": MORNING,
    " 2023/12/11 08:00:00.000Z": MORNING,
    "2023-12-11 08:00:00 UTC": MORNING,
    "2023-12-11 08:00:00.000000 UTC": MORNING,
    "Mon, 11 Dec 2023 08:00:00 GMT": MORNING,
    "11 Dec 2023 10:00:00 +0200": MORNING,
    "Mon Dec 11 08:00:00 UTC 2023": MORNING,
    "Mon Dec 11 09:00:00 +0100 2023": MORNING,
    "11.12.2023 08:00": MORNING,
    "11.12.2023, 08:00:00": MORNING,
    "1702281600": MORNING,
    "1702281600.0": MORNING,
    "1702281600000": MORNING,
    "1702281600000000": MORNING,
    1702281600: MORNING,
    1702281600000: MORNING,
    1702281600000000: MORNING,
}
BAD = [
    "",
    " ",
    "soon",
    "2023",
    "12",
    "12/11/2023",
    "31.31.2023",
    "1.2.3",
    "11.12.2023 late",
    "Mon Dec 11 09:00:00 CET 2023",
    "9" * 30,
    "9999-12-31T23:59:59-01:00",
    1e300,
]


def message(body: dict[str, Any]) -> Message:
    return Message(orjson.dumps(body), "test")


@pytest.mark.parametrize("written", FORMS)
def test_a_time_is_the_same_for_all_who_read_it(written: Any, tmp_path: Path) -> None:
    """A post's own, those that a search filters by, those of a corpus and of the summary of a cluster."""
    post = parse_post(message({"global_id": "1", "url": "u", "ingestion_time": written}))
    query = parse_query(message({"id": "1", "text": "a", "filters": {"after": written, "before": written}}), "mine")
    draft = Draft(id="1", text="a", created=written)
    ParseCreated()(draft)
    layout = PostsLayout("text_embedding")
    columns = dict.fromkeys([layout.id, layout.stamp, *layout.columns], None)
    posts = pa.Table.from_pylist([columns | {"global_id": "1", "created_time": str(written), "cluster": 3}])
    (stored,) = layout.form(posts.to_batches()[0]).to_pylist()
    lancedb.connect(tmp_path).create_table("posts", posts.select(["global_id", "created_time", "cluster"]))
    (summary,) = summaries(tmp_path, timedelta(hours=1))
    assert query.filter is not None
    read = {post.ingestion_time, query.filter.after, query.filter.before, draft.created, stored["created"]}
    assert read == {FORMS[written]} == {summary.first_seen}


@pytest.mark.parametrize("written", BAD)
def test_what_is_no_time_is_none(written: Any) -> None:
    assert time_or_none(written) is None
    with pytest.raises(ValueError, match=r"."):
        parse_time(written)


def test_a_truth_value_and_nothing_at_all_are_no_times() -> None:
    assert time_or_none(None) is time_or_none(True) is None
    assert time_or_none(float("nan")) is time_or_none(float("inf")) is None


def test_a_time_without_a_zone_is_in_utc() -> None:
    assert parse_time(datetime(2023, 12, 11, 8)) == MORNING  # noqa: DTZ001 - that is what it is about


def test_retry_after_is_seconds_or_a_date() -> None:
    now = NOW.timestamp()
    later = NOW + timedelta(seconds=90)
    assert seconds_to_wait("90", now) == seconds_to_wait(format_datetime(later, usegmt=True), now) == 90
    assert seconds_to_wait("1.5", now) == 1.5
    assert seconds_to_wait(format_datetime(NOW - timedelta(days=1), usegmt=True), now) == 0
    assert [seconds_to_wait(value, now) for value in (None, "", "soon", "-3", "inf", "nan", "1e9")] == [None] * 7


def test_nobody_waits_for_ever_because_a_server_says_so() -> None:
    assert seconds_to_wait("9" * 20, 0.0) == seconds_to_wait("Fri, 31 Dec 9999 23:59:59 GMT", 0.0) == 30 * 86_400


def test_a_service_opens_when_its_retry_after_says_so() -> None:
    gate = RateLimiter()
    gate.note({"retry-after": "1.5"}, [], 100.0)
    assert gate.opens_at == 101.5


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119, "119 s"), (504, "8 min"), (7199, "120 min"), (7200, "2 h"), (10**6, "12 days")],
)
def test_a_duration_is_said_in_the_unit_that_people_count_in(seconds: float, words: str) -> None:
    assert duration_in_words(seconds) == words
