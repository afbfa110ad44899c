"""Memory of the processes of a run."""

import os

import psutil

from core.counts import RunCounts


class RunMemory:
    """Memory of the processes of a run, sampled while it goes on."""

    def __init__(self, posts: int) -> None:
        self._tenth = posts / 10
        self.peak = self.first_tenth = self.last = 0.0

    def sample(self, counts: RunCounts) -> None:
        """Take the memory in use now, in MB."""
        used = 0.0
        for process in psutil.Process(os.getpid()).children(recursive=True):
            try:
                used += process.memory_info().rss / 2**20
            except psutil.Error:  # it has just ended
                return
        if not used:
            return
        self.peak = max(self.peak, used)
        self.last = used
        if not self.first_tenth and counts.joined >= self._tenth:
            self.first_tenth = used
