"""Progress of a flow on stderr: a live line where a person looks, a plain line now and then where not."""

import sys
import time
from types import TracebackType
from typing import ClassVar, Final, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from core.counts import RunCounts
from core.endings import plural
from core.untrusted_text import one_line

_PLAIN_SECONDS: Final = 30.0


class Progress:
    """Shows counts while a flow runs."""

    idle: ClassVar[str] = "loading models …"
    """What is said before there is anything to count."""
    waiting: ClassVar[str] = "waiting: nothing to read yet"
    """What is said when models are loaded and nothing has come."""

    def __init__(self, lag_unit: str) -> None:
        self._unit = lag_unit
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._start = time.monotonic()
        self._plain_at = self._start
        self._first: tuple[float, int] | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
            self._live.update(Text(self.idle, style="dim"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, counts: RunCounts) -> None:
        """Show what was counted so far."""
        now = time.monotonic()
        if self.has_begun(counts) and self._first is None:
            self._first = now, 0  # the rate leaves out the time in which models load
        idle = self.waiting if counts.ready else self.idle
        text = self.line(counts, now) if self.has_begun(counts) else idle
        if self._console.is_terminal:
            self._live.update(Text(text, style="cyan"))
        elif now - self._plain_at >= _PLAIN_SECONDS:
            self._plain_at = now
            self.tell(text)

    def has_begun(self, counts: RunCounts) -> bool:
        """Whether models are loaded and work has come."""
        return counts.posts > 0

    def tell(self, line: str) -> None:
        """Print a line above the progress."""
        self._console.print(Text(one_line(line)))

    def line(self, counts: RunCounts, now: float) -> str:
        """Posts done, rate, dead letters and lag, in words."""
        done = counts.joined + counts.partial
        letters, clusters = plural(counts.dead_letters, "dead letter"), plural(counts.clusters, "cluster")
        return (
            f"{plural(done, 'post')} · {self.rate(done, now)} a second · {letters} · {clusters} · "
            f"{counts.lag:,} {self._unit} to go{_behind(counts)} · {self.elapsed(now)} s"
        )

    def rate(self, done: int, now: float) -> str:
        """So many posts a second, since the first was there."""
        since = now - self._first[0] if self._first else 0.0
        return f"{done / since:,.1f}" if since > 1 else "-"

    def elapsed(self, now: float) -> str:
        """Seconds since the start."""
        return f"{now - self._start:,.0f}"


def _behind(counts: RunCounts) -> str:
    """How old live posts are, and which share of them is read, where that is worth saying."""
    told = f" · {counts.behind:,.0f} s behind" if counts.behind >= 1 else ""
    return told + (f" · {counts.share_kept:.1%} of the posts read" if counts.share_kept < 1 else "")
