"""Posts, edits, deletes and hidden accounts in any order, with restarts: what is left is what was not taken back.

Of what was, no row, version, file or state keeps a name or a word.
"""

import pickle
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.remnants import LookedFor
from connectors.sinks.record_table import HIDDEN
from connectors.store.posts_table import PostRows
from connectors.store.table_remnants import in_tables
from core.records import Removal
from tests.connectors.store.test_removed_posts import ids, row
from tests.factories import POSTS, message

BEGIN = datetime(2026, 7, 4, tzinfo=UTC)
IMAGES = {"first-post-a": "first-post-a", "second-post_1-a": "second-post-a", "second-post_2-a": "second-post-a"}
IMAGES["third-post-a"] = "third-post-a"
AUTHORS = {"first-post-a": "ann", "second-post-a": "ann", "third-post-a": "bob"}

Step = tuple[str, str, int]
"""What is done, to what, and which hour it speaks of; what hides and shows speaks of the hour in which it is done."""
_HOURS = st.integers(0, 9)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.sampled_from(sorted(IMAGES)), _HOURS),
        st.tuples(st.just("global_id"), st.sampled_from(sorted(IMAGES)), _HOURS),
        st.tuples(st.just("post_id"), st.sampled_from(sorted(AUTHORS)), _HOURS),
        st.tuples(st.sampled_from(("author", "hide", "show")), st.sampled_from(("ann", "bob")), _HOURS),
        st.tuples(st.sampled_from(("restart", "compact")), st.just(""), _HOURS),
    ),
    min_size=3,
    max_size=14,
)


def caption_of(image: str) -> str:
    return f"these are the words of {image}"


def hour(number: int) -> datetime:
    return BEGIN + timedelta(hours=number)


@dataclass
class Expected:
    """What is there, worked out plainly."""

    rows: dict[str, int] = field(default_factory=dict)
    """Hour of each post that was not taken back."""
    gone: dict[tuple[str, str], int] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)

    def names(self, image: str) -> list[tuple[str, str]]:
        post = IMAGES[image]
        return [("global_id", image), ("post_id", post), ("author", AUTHORS[post])]

    def do(self, what: str, name: str, at: int) -> None:
        if what == "post":
            if all(self.gone.get(it, -1) < at for it in self.names(name)):
                self.rows[name] = at
        elif what in {"global_id", "post_id", "author"}:
            self.gone[what, name] = max(at, self.gone.get((what, name), -1))
            self.rows = {it: then for it, then in self.rows.items() if (what, name) not in self.names(it) or then > at}
        elif what == "hide":
            self.hidden.add(name)
        elif what == "show":
            self.hidden.discard(name)

    def ids(self, *, hidden: bool) -> set[str]:
        return {it for it in self.rows if (AUTHORS[IMAGES[it]] in self.hidden) == hidden}


def removal(what: str, name: str, at: int, now: int) -> Removal:
    if what in {"hide", "show"}:
        return Removal(message({}), author=name, source="a", hidden=what == "hide", time=hour(now))
    named: dict[str, Any] = {"author": name, "source": "a"} if what == "author" else {what: name}
    return Removal(message({}), **named, time=hour(at))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, twice=st.booleans())
def test_what_is_left_is_what_was_not_taken_back(steps: list[Step], twice: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, expected = Path(name), Expected()
        table = PostRows(folder, POSTS)
        for now, (what, of, at) in enumerate(steps):
            expected.do(what, of, at)
            if what == "restart":
                table = PostRows(folder, POSTS, pickle.loads(pickle.dumps(table.mark())))
            elif what == "compact":
                table.compact()
            elif what == "post":
                fields = {
                    "post_id": IMAGES[of],
                    "author": AUTHORS[IMAGES[of]],
                    "created_time": hour(at).isoformat(),
                    "description": caption_of(of),
                }
                table.upsert([row(of, revision=now + 1, **fields)])
            else:
                for _ in range(1 + twice):  # as after a crash
                    table.remove([removal(what, of, at, now)])
        assert ids(folder) == expected.ids(hidden=False)
        aside = ids(folder, HIDDEN) if (folder / f"{HIDDEN}.lance").is_dir() else set()
        assert aside == expected.ids(hidden=True)
        table.compact(erase=True)
        for image in IMAGES.keys() - expected.rows.keys():
            names = LookedFor((image, caption_of(image)))
            assert not list(in_tables(folder, names))
            assert not names.in_value(table.mark())
