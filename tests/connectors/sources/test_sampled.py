"""A share of the posts, by their images."""

from pathlib import Path

import orjson
import pytest

from connectors.sources.file_options import FileOptions
from connectors.sources.load_shedding import LoadShedder
from connectors.sources.post_files import PostFiles
from connectors.sources.sampled import Sampled, place_of
from connectors.sources.split_messages import SplitMessages
from core.records import Message
from core.telemetry import SKIPPED

MESSAGES = [Message(orjson.dumps({"global_id": f"{n}", "url": f"https://a/{n}.png"}), "") for n in range(5000)]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a_share_is_about_as_large_as_it_says(share: float) -> None:
    kept = sum(is_kept(message, share) for message in MESSAGES)
    assert kept / len(MESSAGES) == pytest.approx(share, abs=0.03)


def is_kept(message: Message, share: float) -> bool:
    place = place_of(message)
    return place is None or place < share


def test_a_lower_share_is_a_part_of_a_higher_one() -> None:
    for message in MESSAGES:
        kept = [is_kept(message, share) for share in (0.1, 0.3, 0.8, 1.0)]
        assert kept == sorted(kept)
        assert kept[-1]


def test_posts_of_one_image_stay_together() -> None:
    for number in range(300):
        same = [{"cid": f"c{number}", "url": f"https://{host}/{number}"} for host in "ab"]
        assert len({is_kept(Message(orjson.dumps(body), ""), 0.5) for body in same}) == 1
        again = [{"global_id": name, "url": f"https://a/{number}.png "} for name in "ab"]
        assert len({is_kept(Message(orjson.dumps(body), ""), 0.5) for body in again}) == 1


@pytest.mark.parametrize(
    "value",
    [
        b"no json",
        b"[1]",
        b'{"global_id": "1"}',
        b'{"deleted": true, "url": "https://a/1.png"}',
        b'{"hidden": false, "author": "a"}',
    ],
)
def test_what_is_no_post_and_what_deletes_one_is_kept(value: bytes) -> None:
    assert is_kept(Message(value, ""), 1e-12)


def test_what_is_left_out_is_counted_and_the_position_moves_on(tmp_path: Path) -> None:
    (tmp_path / "posts.jsonl").write_bytes(b"\n".join(it.value for it in MESSAGES[:200]) + b"\n")
    inner = SplitMessages(
        PostFiles(tmp_path / "posts.jsonl", FileOptions(follow=False, parts=1, block_bytes=4096, batch=8)), 8
    )
    source = Sampled(inner, LoadShedder(0.3))
    left_out = SKIPPED.labels("sample", "left out by sample")
    before = left_out._value.get()
    (part,) = source.parts()
    reader = source.open(part, None)
    units = []
    while not reader.ended:
        units += [unit] if (unit := reader.read()) else []
    found = [message.value for unit in units for message in unit.messages]
    assert found == [it.value for it in MESSAGES[:200] if is_kept(it, 0.3)]
    assert left_out._value.get() - before == 200 - len(found)
    assert source.open(part, units[-1].resume).read() is None
