"""The control log: requests are added whole and in order by any process, and each is open until it is marked."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from connectors.control import control_log
from connectors.control.control_log import MAX_BYTES, ControlLog
from connectors.control.request_kinds import KINDS, RequestKind
from core.errors import BadRecordError, SettingsError


@pytest.fixture
def log(tmp_path: Path) -> ControlLog:
    return ControlLog(tmp_path / "store" / "control")


def numbers(log: ControlLog, after: int = 0) -> list[int]:
    return [request.number for request in log.open_after(after, 1000)]


def test_a_log_is_made_with_its_first_request(log: ControlLog) -> None:
    assert log.open_after(0, 9) == []
    assert (log.identity, log.folder.exists()) == ("", False)
    request = log.add("compact", {})
    assert (request.number, request.kind, request.body, request.log) == (1, "compact", {}, str(log.folder))
    assert ControlLog(log.folder).open_after(0, 9) == [request]
    assert log.identity == ControlLog(log.folder).identity != ""


def test_many_that_add_at_once_get_numbers_without_a_gap(log: ControlLog) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ControlLog(log.folder).add("compact", {}).number, range(40)))
    assert sorted(found) == numbers(log) == list(range(1, 41))
    assert not list(log.folder.glob(".*"))


def test_what_is_added_while_somebody_reads_is_seen(log: ControlLog) -> None:
    seen: list[int] = []
    for _ in range(20):
        ControlLog(log.folder).add("compact", {})
        seen += numbers(log, after=len(seen))
    assert seen == list(range(1, 21))


def test_a_request_is_open_until_it_is_marked(log: ControlLog) -> None:
    for _ in range(3):
        log.add("compact", {})
    log.mark(2, "from 3 MB to 1 MB")
    assert numbers(log) == [1, 3]
    assert [log.result(number) for number in (1, 2)] == [None, "from 3 MB to 1 MB"]
    assert numbers(ControlLog(log.folder), after=1) == [3]
    assert [it.number for it in log.open_after(0, 1)] == [1]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"{", "not JSON"),
        (b"[" * 9999, "not JSON"),
        (b'{"version": 1, "kind": "nonsense", "body": {}}', "a request of kind 'nonsense'; this memewax knows"),
        (b'{"version": 1, "kind": ["x"], "body": {}}', "a request of kind"),
        (b'{"version": 1, "kind": "compact", "body": {"a": 1}}', "takes no parameters, found 'a'"),
        (b'{"version": 9, "kind": "compact", "body": {}}', 'expected {"version": 1'),
        (b" " * (MAX_BYTES + 1), "of more than"),
    ],
)
def test_what_is_no_request_is_refused_and_holds_nobody_up(log: ControlLog, data: bytes, told: str) -> None:
    log.add("compact", {})
    (log.folder / "000000000002.json").write_bytes(data)
    assert log.add("compact", {}).number == 3
    assert numbers(log) == [1, 3]
    result = log.result(2) or ""
    assert result.startswith("refused: ")
    assert told in result


def test_what_is_no_request_is_not_added(log: ControlLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(body: object) -> None:
        if body == {"bad": True}:
            raise BadRecordError("bad must not be")

    monkeypatch.setattr(control_log, "KINDS", {**KINDS, "other": RequestKind("other", "do something else", check)})
    for kind, body, told in (
        ("nonsense", {}, "this memewax knows compact"),
        ("other", {"bad": True}, "bad must not be"),
        ("other", {"text": "x" * MAX_BYTES}, "at most 1,048,576 are allowed"),
    ):
        with pytest.raises(SettingsError, match=told):
            log.add(kind, body)
    assert not log.folder.exists() or numbers(log) == []
    assert log.add("other", {"text": "ü"}).body == log.open_after(0, 9)[0].body == {"text": "ü"}


def test_what_was_done_long_ago_is_forgotten_and_no_number_comes_again(
    log: ControlLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_log, "KEPT", 3)
    for number in range(1, 9):
        log.add("compact", {})
        log.mark(number, "done")
    assert sorted(it.name[:12] for it in log.folder.glob("*.json")) == [
        f"{number:012d}" for number in (6, 6, 7, 7, 8, 8)
    ]
    assert log.add("compact", {}).number == 9
    assert orjson.loads((log.folder / "000000000009.json").read_bytes())["kind"] == "compact"
