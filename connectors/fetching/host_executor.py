"""A thread-pool executor with a concurrency limit per host, so that a slow host cannot occupy all threads."""

from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class PerHostExecutor(Generic[T]):
    """Runs calls in FIFO order per host, within the limit of each host."""

    def __init__(self, threads: int, per_host: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fetch")
        self._per_host = per_host
        self._lock = Lock()
        self._running: defaultdict[str, int] = defaultdict(int)
        self._waiting: defaultdict[str, deque[tuple[Future[T], Callable[[], T]]]] = defaultdict(deque)

    def submit(self, host: str, call: Callable[[], T]) -> Future[T]:
        """Schedule a call; an empty `host` has no limit of its own."""
        future: Future[T] = Future()
        with self._lock:
            if not host or self._running[host] < self._per_host:
                self._start(host, future, call)
            else:
                self._waiting[host].append((future, call))
        return future

    def close(self) -> None:
        """Wait for running calls; discard queued ones."""
        with self._lock:
            self._waiting.clear()
        self._pool.shutdown()

    def _start(self, host: str, future: Future[T], call: Callable[[], T]) -> None:
        self._running[host] += 1
        self._pool.submit(self._run, host, future, call)

    def _run(self, host: str, future: Future[T], call: Callable[[], T]) -> None:
        try:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:
                    future.set_exception(error)
        finally:
            self._end(host)

    def _end(self, host: str) -> None:
        with self._lock:
            self._running[host] -= 1
            waiting = self._waiting.get(host)
            if waiting:
                self._start(host, *waiting.popleft())
            if not waiting:
                self._waiting.pop(host, None)
            if not self._running[host]:
                del self._running[host]
