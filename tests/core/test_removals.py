"""What was taken back is remembered, within a bound, and what was written later is another post."""

import pickle
from datetime import UTC, datetime, timedelta

import pytest

from core.records import Removal
from core.removals import Removed, ids_of, image_ids
from tests.factories import is_plain, message

TIME = datetime(2026, 7, 4, tzinfo=UTC)
SENT = message({})


def has(known: Removed, global_id: str, post_id: str = "", account: str = "", url: str = "", later: int = -1) -> bool:
    return known.has(global_id, post_id or global_id, account, lambda: TIME + timedelta(seconds=later), url)


def test_what_a_removal_names_is_known_after_a_restart_too() -> None:
    known = Removed()
    for it in (
        Removal(SENT, global_id="1_2-a", time=TIME),
        Removal(SENT, post_id="2-a", time=TIME),
        Removal(SENT, url="https://x/3.png", time=TIME),
        Removal(SENT, author="ann", source="a", time=TIME),
        Removal(SENT, author="bob", source="a", time=TIME, hidden=True),
        Removal(SENT, post_id="9-a", time=TIME, kept=("9_1-a",)),
    ):
        known.note(it)
    state = known.state()
    assert is_plain(state)
    for one in (known, Removed(pickle.loads(pickle.dumps(state)))):
        assert has(one, "1_2-a", "1-a")
        assert not has(one, "1_1-a", "1-a")
        assert has(one, "2_1-a", "2-a")
        assert not has(one, "2-b")
        assert has(one, "3-a", url="https://x/3.png")
        assert has(one, "9_2-a", "9-a")
        assert not has(one, "9_1-a", "9-a")
        assert has(one, "4-a", account="ann@a")
        assert not has(one, "4-a", account="ann@b")
        assert not has(one, "5-a", account="bob@a")


@pytest.mark.parametrize(("later", "is_gone"), [(-1, True), (0, True), (1, False)])
def test_what_was_written_later_is_another_post(later: int, is_gone: bool) -> None:
    known = Removed()
    known.note(Removal(SENT, post_id="1-a", time=TIME))
    assert has(known, "1-a", later=later) is is_gone
    known.note(Removal(SENT, post_id="1-a"))  # whenever it was written
    assert has(known, "1-a", later=later)
    assert known.has("1-a", "1-a", "", lambda: None)


def test_the_oldest_is_forgotten_first() -> None:
    known = Removed(most=2)
    for number in (1, 2, 1, 3):
        known.note(Removal(SENT, global_id=f"{number}"))
    assert [has(known, f"{number}") for number in (1, 2, 3)] == [True, False, True]
    assert len(known) == 2


def test_images_of_a_post_are_named_by_number() -> None:
    assert list(image_ids("did:plc:a/p1-bluesky"))[:3] == [
        "did:plc:a/p1-bluesky",
        "did:plc:a/p1_1-bluesky",
        "did:plc:a/p1_2-bluesky",
    ]
    assert list(image_ids("row"))[1] == "row_1"
    found = ids_of(Removal(SENT, post_id="1-a", kept=("1_2-a",)))
    assert "1_1-a" in found
    assert "1_2-a" not in found
    assert ids_of(Removal(SENT, author="ann", source="a")) == []


def test_a_removal_is_remembered_for_some_days() -> None:
    now = [0.0]
    known = Removed(days=2, now=lambda: now[0])
    known.note(Removal(SENT, global_id="1"))
    now[0] = 86_400.0
    known.note(Removal(SENT, global_id="2"))
    now[0] = 2.5 * 86_400.0
    assert (has(known, "1"), has(known, "2")) == (False, True)
    again = Removed(known.state(), days=2, now=lambda: now[0])
    assert len(again) == 1
    now[0] = 3.5 * 86_400.0
    assert not has(again, "2")


def test_hashes_of_two_memories_tell_nothing_of_each_other() -> None:
    states = []
    for _ in range(2):
        known = Removed()
        known.note(Removal(SENT, global_id="1"))
        states.append(known.state())
    assert states[0]["hashes"] != states[1]["hashes"]


def test_a_snapshot_without_a_key_is_gone_on_with() -> None:
    known = Removed({"hashes": b"", "times": b"", "read": b""})
    known.note(Removal(SENT, global_id="1"))
    old = {name: value for name, value in known.state().items() if name in ("hashes", "times")}
    assert has(Removed(old), "1")
