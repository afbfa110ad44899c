"""Sampling of the memory of a run's processes."""

import os

import psutil

from core.counts import RunCounts


class RunMemory:
    """Resident memory of all child processes in MiB, sampled during a run: peak, after a tenth of the posts, last."""

    def __init__(self, posts: int) -> None:
        self._tenth = posts / 10
        self.peak = self.first_tenth = self.last = 0.0

    def sample(self, counts: RunCounts) -> None:
        """Take a sample; skip it if a process has just ended."""
        used = 0.0
        for process in psutil.Process(os.getpid()).children(recursive=True):
            try:
                used += process.memory_info().rss / 2**20
            except psutil.Error:  # the process has just ended
                return
        if not used:
            return
        self.peak = max(self.peak, used)
        self.last = used
        if not self.first_tenth and counts.joined >= self._tenth:
            self.first_tenth = used
