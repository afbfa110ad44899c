"""An error in one line."""

import pytest

from core.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n\n one\r\ntwo"), "one"),
        (ValueError(""), "ValueError"),
        (OSError(), "OSError"),
        (
            RuntimeError(
                "Exception from src/infer_request.cpp:224:\nException from src/node.cpp:794:\n[CPU] -1 is no size"
            ),
            "[CPU] -1 is no size",
        ),
        (RuntimeError("Exception from src/node.cpp:794:\n"), "Exception from src/node.cpp:794:"),
        (
            RuntimeError(
                "lance error: LanceError(IO): cannot copy: No space left on device (os error 28), commit.rs:16"
            ),
            "No space left on device",
        ),
    ],
)
def test_an_error_has_a_first_line(error: Exception, line: str) -> None:
    assert first_line(error) == line
