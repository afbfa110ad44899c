"""Progress of a flow on stderr: a live line on a terminal, else a plain line every 30 seconds."""

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
    """Context manager that shows counts while a flow runs."""

    idle: ClassVar[str] = "loading models …"
    """Text until models are loaded."""
    waiting: ClassVar[str] = "waiting: nothing to read yet"
    """Text while models are loaded and no posts have arrived."""

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
        """Show the counts so far."""
        now = time.monotonic()
        if self.has_begun(counts) and self._first is None:
            self._first = now, 0  # so that the rate excludes the time to load models
        idle = self.waiting if counts.ready else self.idle
        text = self.line(counts, now) if self.has_begun(counts) else idle
        if self._console.is_terminal:
            self._live.update(Text(text, style="cyan"))
        elif now - self._plain_at >= _PLAIN_SECONDS:
            self._plain_at = now
            self.log(text)

    def has_begun(self, counts: RunCounts) -> bool:
        """Check whether the first post has been processed."""
        return counts.posts > 0

    def log(self, line: str) -> None:
        """Print a line above the progress."""
        self._console.print(Text(one_line(line)))

    def line(self, counts: RunCounts, now: float) -> str:
        """Return a line with posts done, rate, dead letters, clusters and lag."""
        done = counts.joined + counts.partial
        dead_letters, clusters = plural(counts.dead_letters, "dead letter"), plural(counts.clusters, "cluster")
        return (
            f"{plural(done, 'post')} · {self.rate(done, now)} a second · {dead_letters} · {clusters} · "
            f"{counts.lag:,} {self._unit} to go{_behind(counts)} · {self.elapsed(now)} s"
        )

    def rate(self, done: int, now: float) -> str:
        """Return posts per second since the first one, or "-" during the first second."""
        since = now - self._first[0] if self._first else 0.0
        return f"{done / since:,.1f}" if since > 1 else "-"

    def elapsed(self, now: float) -> str:
        """Return the seconds since the start."""
        return f"{now - self._start:,.0f}"


def _behind(counts: RunCounts) -> str:
    """Return the age of live posts if over 1 s, and the share of posts read if load shedding drops some."""
    behind = f" · {counts.behind:,.0f} s behind" if counts.behind >= 1 else ""
    return behind + (f" · {counts.share_kept:.1%} of the posts read" if counts.share_kept < 1 else "")
