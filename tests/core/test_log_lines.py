"""Lines of the log: one each, whatever strangers wrote, with where they were written."""

import io
import json
import logging
import re
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from core.log_lines import TRACE, LogRateLimiter, loggable, traceback_of
from core.sections import SECTIONS
from core.telemetry import configure_logging, log, step, take_in_libraries

EVIL = "a\nb\x1b[2J\r\u2028c\x9b\u202ed"


Begin = Callable[[], io.StringIO]


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def begin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Begin to log, in the test itself since pytest changes stderr before it."""

    def begun() -> io.StringIO:
        out = io.StringIO()
        monkeypatch.setattr(out, "isatty", lambda: request.param)
        monkeypatch.setattr(sys, "stderr", out)
        monkeypatch.setenv("NO_COLOR", "1")
        configure_logging("info", worker=3)
        return out

    return begun


def lines(out: io.StringIO) -> list[str]:
    """What was logged, without the colours of the log itself."""
    return re.sub("\x1b\\[[0-9;]*m", "", out.getvalue()).splitlines()


def parsed(out: io.StringIO) -> dict[str, Any]:
    (line,) = lines(out)
    fields: dict[str, Any] = json.loads(line)
    return fields


VALUES: dict[str, Any] = {
    "text": EVIL,
    "list": [EVIL, {"deep": (EVIL,)}],
    "object": {EVIL: EVIL},
    "bytes": EVIL.encode(),
    "path": Path(EVIL),
    "error": ValueError(EVIL),
    EVIL: 1,
}


@pytest.mark.parametrize("name", VALUES)
def test_a_stranger_gets_no_newline_and_no_escape_through(name: str, begin: Begin) -> None:
    stderr = begin()
    log.warning("too large", **{name: VALUES[name]})
    log.warning(EVIL)
    assert len(lines(stderr)) == 2
    assert not set("".join(lines(stderr))) & set("\x1b\r\u2028\x9b\u202e\n")


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def test_a_traceback_is_one_line_of_json_and_its_message_one_of_text(begin: Begin) -> None:
    stderr = begin()
    try:
        raise caused(RuntimeError("outer\nforged"), ValueError(EVIL))
    except RuntimeError as error:
        log.error("failed", exc_info=error)
    shown = "\n".join(lines(stderr)) if stderr.isatty() else parsed(stderr)["exception"]
    assert "RuntimeError: outer forged" in shown
    assert "ValueError: a b" in shown
    assert "test_log_lines.py" in shown
    assert "\nforged" not in shown
    assert not set(shown) & set("\x1b\r\u2028\x9b\u202e")


def test_a_traceback_is_bounded() -> None:
    error: BaseException = ValueError("x" * 100_000)
    for _ in range(200):
        error = caused(ValueError("y" * 5000), error)
    assert len(traceback_of(error)) < 100_000


@pytest.mark.parametrize("begin", [False], indirect=True)
def test_a_line_says_where_it_was_written(begin: Begin) -> None:
    stderr = begin()
    token = TRACE.set("ab" * 16)
    with structlog.contextvars.bound_contextvars(global_id="1-reddit"), step("test", 1):
        log.warning("here")
    TRACE.reset(token)
    fields = parsed(stderr)
    assert fields.pop("timestamp")
    assert fields == {
        "event": "here",
        "level": "warning",
        "worker": 3,
        "step": "test",
        "trace": "ab" * 16,
        "global_id": "1-reddit",
    }


@pytest.mark.parametrize("begin", [False], indirect=True)
def test_what_a_line_says_itself_stays_and_afterwards_no_step_is_at_work(begin: Begin) -> None:
    stderr = begin()
    with step("outer", 1), step("inner", 1):
        log.warning("here", step="another")
    assert not SECTIONS.steps
    assert parsed(stderr)["step"] == "another"


@pytest.mark.parametrize("begin", [False], indirect=True)
def test_what_libraries_say_is_a_line_too(begin: Begin) -> None:
    stderr = begin()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        take_in_libraries()
        take_in_libraries()
        logging.getLogger("a.package").warning("odd: %s", EVIL)
        logging.getLogger("a.package").info("chatter")
        warnings.warn("old", UserWarning, stacklevel=1)
        logging.captureWarnings(False)
    library, warned = [json.loads(line) for line in lines(stderr)]
    assert (library["logger"], library["level"]) == ("a.package", "warning")
    assert library["event"].startswith("odd: a b")
    assert warned["logger"] == "py.warnings"
    assert "old" in warned["event"]


@given(
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(), lambda it: st.lists(it) | st.dictionaries(st.text(), it)
    )
)
def test_any_value_can_be_told(value: Any) -> None:
    line = json.dumps(loggable(value))
    assert "\n" not in line
    assert len(line) < 10_000_000


def test_what_is_deep_or_long_is_cut() -> None:
    deep: Any = "end"
    for _ in range(500):
        deep = [deep]
    assert len(json.dumps(loggable(deep))) < 2000
    assert len(loggable(list(range(10_000)))) == 50
    assert len(loggable("x" * 10_000)) <= 1000


def test_lines_are_rationed_by_the_minute() -> None:
    now = 0.0
    ration = LogRateLimiter(2, lambda: now)
    assert [ration.take() for _ in range(5)] == [0, 0, None, None, None]
    now = 59.0
    assert ration.take() is None
    now = 60.0
    assert [ration.take() for _ in range(3)] == [4, 0, None]


def test_threads_of_a_process_are_told_apart_by_programs(begin: Begin) -> None:
    stderr = begin()
    threads = [threading.Thread(target=log.warning, args=("here",), name="same") for _ in range(2)]
    for thread in threads:
        thread.start()
    told_of = {f"same ({thread.native_id})" for thread in threads}
    for thread in threads:
        thread.join()
    log.warning("here")
    if stderr.isatty():
        assert "same" not in stderr.getvalue()
    else:
        found = [json.loads(line).get("thread") for line in lines(stderr)]
        assert {*found[:2]} == told_of
        assert found[2:] == [None]
