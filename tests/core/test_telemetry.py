"""Libraries keep quiet where somebody said so, and not because something was imported."""

import io
import logging
import re
import subprocess
import sys
import warnings

import pytest

from core.telemetry import configure_logging, log, quieten_libraries
from tests.folders import ROOT

_AFTER_IMPORT = """
import logging, warnings
before = list(warnings.filters)
import connectors.fetching.decode, connectors.services.api_web, connectors.fetching.web
assert not [it for it in warnings.filters if it not in before and it[3] and it[3].match("PIL")]
assert logging.getLogger("httpx").level == logging.getLogger("httpcore").level == logging.NOTSET
connectors.services.api_web.ApiWeb(1.0, "test").close()
assert logging.getLogger("httpx").level == logging.getLogger("httpcore").level == logging.WARNING
"""


def test_an_import_changes_nothing_and_a_client_hides_urls() -> None:
    subprocess.run([sys.executable, "-c", _AFTER_IMPORT], check=True, cwd=ROOT)


def test_what_pillow_warns_of_is_not_shown() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quieten_libraries()
        warnings.warn_explicit("corrupt", UserWarning, "PIL/Image.py", 1, module="PIL.Image")
    assert not caught
    assert logging.getLogger("httpx").level == logging.WARNING


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_log_does_nothing_to_a_terminal(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setenv("NO_COLOR", "1")
    configure_logging("info")
    log.warning("too large", id="\x1b]0;title\x07", other="\x9b2J")
    told = re.sub("\x1b\\[[0-9;]*m", "", out.getvalue())  # its own colours
    assert "title" in told
    assert not set(told) & {"\x1b", "\x07", "\x9b"}
