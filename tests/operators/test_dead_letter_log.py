"""One line for a bad record."""

import json
import sys
from typing import Any

import pytest

from core.log_lines import LogRateLimiter
from core.records import DeadLetter
from core.telemetry import BAD_RECORD, configure_logging
from operators.dead_letter_log import log_dead_letters
from tests.factories import message


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.fixture(autouse=True)
def _json(capsys: pytest.CaptureFixture[str]) -> None:
    assert not sys.stderr.isatty()
    configure_logging("info", worker=1)


def letter(reason: str, global_id: str | None = None) -> DeadLetter:
    return DeadLetter(message(b"{", "file:/posts.jsonl@7"), "parse", "BadRecordError", reason, global_id)


def test_a_bad_record_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log_dead_letters([letter("not JSON: a\nb\x1b[2J", "1-reddit\n{}")], LogRateLimiter(9))
    (line,) = lines(capsys)
    assert line.pop("timestamp")
    assert line == {
        "event": BAD_RECORD,
        "level": "warning",
        "worker": 1,
        "step": "parse",
        "global_id": "1-reddit {}",
        "origin": "file:/posts.jsonl@7",
        "reason": "not JSON: a b\ufffd[2J",
        "cause": "not_json",
    }


def test_many_bad_records_are_no_flood_and_how_many_were_silent_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    ration = LogRateLimiter(3, lambda: now)
    log_dead_letters([letter("not JSON")] * 10, ration)
    assert len(lines(capsys)) == 3
    now = 60.0
    log_dead_letters([letter("not JSON")], ration)
    (line,) = lines(capsys)
    assert line["untold"] == 7
    assert "global_id" not in line
