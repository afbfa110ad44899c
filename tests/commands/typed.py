"""What typing a command leaves behind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def summary(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        (line,) = self.out.splitlines()
        found: dict[str, Any] = orjson.loads(line)
        return found


Memewax = Callable[..., Done]
