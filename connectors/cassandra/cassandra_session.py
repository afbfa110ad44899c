"""A session with Cassandra: prepared statements, many at once within bounds, tried again while they may yet succeed."""

import logging
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from connectors.cassandra.cassandra_place import CassandraPlace, CassandraSettings
from core.errors import SettingsError, WorldError, first_line
from core.extras import needs_extra
from core.telemetry import log

CqlValues = tuple[Any, ...]

_AT_ONCE: Final = 128
"""Statements under way; more would only wait in the server."""
_LONGEST_REQUEST: Final = 10.0
"""Seconds; a node that is slow is tried again, maybe by way of another one."""
_FULL: Final = "disk usage"
"""What the server says where it lets nobody write any more, before a disk is full."""
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 3.0
_PAGE: Final = 1000
"""Rows that come together."""
_RECONNECT: Final = (0.5, 5.0)
"""Seconds between tries to reach a node that is away: the driver's own default goes up to ten minutes."""


class Statement(NamedTuple):
    """CQL of ours with a mark for each value: what a stranger wrote is only ever among the values."""

    cql: str
    values: CqlValues = ()


class CassandraSession:
    """A session with one keyspace, for any number of threads.

    Statements are prepared once. What fails in a way that may pass (a node is away, slow, overloaded or out of room) is
    tried again until `store_timeout_seconds` are over; so all that is written through it has to be idempotent.

    Args:
        place: Of the keyspace.
        settings: Of the client.
        has_keyspace: Whether the keyspace is used; one that is still to be made is not.
    """

    def __init__(self, place: CassandraPlace, settings: CassandraSettings, *, has_keyspace: bool = True) -> None:
        """Connect; raises `WorldError` where that is not possible in time, or the keyspace is not there."""
        self.place = place
        self.is_given_up = False
        """Whether Cassandra was away for too long."""
        self._timeout = settings.store_timeout_seconds
        self._lock = threading.Lock()
        self._prepared: dict[str, Any] = {}
        with needs_extra("cassandra", "a store in Cassandra"):
            from cassandra.cluster import NoHostAvailable

        logging.getLogger("cassandra").setLevel(logging.CRITICAL)  # it tells of each node and each try, in tracebacks
        retry = _Retry(f"{place} does not answer", self._timeout)
        while True:
            self._cluster = _cluster(place, settings)
            try:
                self._session = self._cluster.connect()
                if has_keyspace and self.is_there:
                    self._session.set_keyspace(place.keyspace)
            except Exception as error:
                self._cluster.shutdown()
                causes = list(error.errors.values()) if isinstance(error, NoHostAvailable) else [error]
                if not isinstance(error, NoHostAvailable) or any(_is_refusal(it) for it in causes):
                    raise WorldError(f"{place}: {_told(causes[0])}") from None
                retry.wait(causes[0] if causes else error)
            else:
                return

    @property
    def is_there(self) -> bool:
        """Whether the keyspace exists; raises `WorldError`."""
        cql = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?"
        return any(self.rows(cql, (self.place.keyspace,)))

    def types(self) -> dict[str, dict[str, str]]:
        """The types of columns by table, as the server has them; raises `WorldError`."""
        cql = "SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = ?"
        found: dict[str, dict[str, str]] = {}
        for row in self.rows(cql, (self.place.keyspace,)):
            found.setdefault(row.table_name, {})[row.column_name] = row.type.replace(" ", "")
        return found

    def indexed(self) -> set[str]:
        """The names of the indexes of the keyspace; raises `WorldError`."""
        cql = "SELECT index_name FROM system_schema.indexes WHERE keyspace_name = ?"
        return {row.index_name for row in self.rows(cql, (self.place.keyspace,))}

    def nodes(self) -> int:
        """How many nodes the datacenter has."""
        near = {it.datacenter for it in self._cluster.metadata.all_hosts() if self._is_near(it)}
        return max(1, sum(it.datacenter in near for it in self._cluster.metadata.all_hosts()))

    def datacenters(self) -> list[str]:
        """Their names."""
        return sorted({it.datacenter for it in self._cluster.metadata.all_hosts() if it.datacenter})

    def define(self, cql: str) -> None:
        """Change the schema; waits until all nodes agree. Raises `WorldError`."""
        try:
            self._session.execute(cql, timeout=self._timeout)
        except Exception as error:
            raise WorldError(f"{self.place}: the schema cannot be changed: {_told(error)}") from error

    def use(self) -> None:
        """Use the keyspace, once it is there."""
        self._session.set_keyspace(self.place.keyspace)

    def run(self, statements: Iterable[Statement]) -> list[list[Any]]:
        """Run statements side by side, none before or after another; gives all rows of each. Raises `WorldError`."""
        wanted = list(statements)
        found: list[list[Any]] = [[] for _ in wanted]
        left = list(range(len(wanted)))
        retry = _Retry(f"{self.place} cannot be asked or written", self._timeout)
        while left:
            left, error = self._round(wanted, left, found)
            if error is not None:
                if not _may_pass(error):
                    raise WorldError(f"{self.place}: {_told(error)}") from error
                self._wait(retry, error)
        return found

    def rows(self, cql: str, values: CqlValues = (), *, near: bool = False) -> Iterator[Any]:
        """The rows of one statement, a page at a time; raises `WorldError`. `near`: as the nearest replica has them."""
        state: bytes | None = None
        while True:
            page, state = self._page(Statement(cql, values), state, near=near)
            yield from page
            if not state:
                return

    def close(self) -> None:
        """End it."""
        self._cluster.shutdown()

    def _page(self, statement: Statement, state: bytes | None, *, near: bool) -> tuple[list[Any], bytes | None]:
        retry = _Retry(f"{self.place} cannot be read", self._timeout)
        while True:
            try:
                bound = self._bound(statement)
                if near:
                    from cassandra import ConsistencyLevel

                    bound.consistency_level = ConsistencyLevel.LOCAL_ONE
                    bound.fetch_size = None  # paging and vectors do not go together
                found = self._session.execute(bound, paging_state=state)
                return list(found.current_rows), found.paging_state
            except Exception as error:
                if not _may_pass(error):
                    raise WorldError(f"{self.place}: {_told(error)}") from error
                self._wait(retry, error)

    def _wait(self, retry: "_Retry", error: Exception) -> None:
        """Wait for the next try; where time is over the session is given up, so that no thread of it goes on trying."""
        try:
            retry.wait(error)
        except WorldError:
            self.is_given_up = True
            self.close()
            raise

    def _round(
        self, statements: Sequence[Statement], numbers: Sequence[int], found: list[list[Any]]
    ) -> tuple[list[int], Exception | None]:
        """Run some of the statements; gives those that are left after one failed, and why."""
        under_way: deque[tuple[int, Any]] = deque()
        left: list[int] = []
        failed: Exception | None = None

        def end_one() -> None:
            nonlocal failed
            number, future = under_way.popleft()
            try:
                found[number] = list(future.result())
            except Exception as error:
                left.append(number)
                failed = failed if failed is not None and not _may_pass(failed) else error

        for number in numbers:
            if failed is not None:
                left.append(number)
                continue
            try:
                under_way.append((number, self._session.execute_async(self._bound(statements[number]))))
            except Exception as error:
                left.append(number)
                failed = error
            if len(under_way) >= _AT_ONCE:
                end_one()
        while under_way:
            end_one()
        return sorted(left), failed

    def _bound(self, statement: Statement) -> Any:
        prepared = self._prepared.get(statement.cql)
        if prepared is None:
            with self._lock:
                prepared = self._prepared.get(statement.cql)
                if prepared is None:
                    prepared = self._prepared[statement.cql] = self._session.prepare(statement.cql)
        bound = prepared.bind(statement.values)
        bound.is_idempotent = True
        return bound

    def _is_near(self, host: Any) -> bool:
        if self.place.datacenter:
            return bool(host.datacenter == self.place.datacenter)
        return host.address in {name for name, _ in self.place.hosts} or len(self.datacenters()) == 1


def unset() -> Any:
    """What is bound for a value that is not written at all: a null would be a tombstone in the server."""
    from cassandra.query import UNSET_VALUE

    return UNSET_VALUE


class _Retry:
    """Waits between tries, longer and longer, until the time is over."""

    def __init__(self, doing: str, seconds: float) -> None:
        self._doing = doing
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._wait = _FIRST_WAIT

    def wait(self, error: Exception) -> None:
        """Wait a while; raises `WorldError` where the time is over."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise WorldError(
                f"{self._doing}: {_told(error)}; tried for {self._seconds:g} s (store_timeout_seconds): start "
                "Cassandra, or make room, and run the same command again"
            ) from error
        if self._wait == _FIRST_WAIT:
            log.warning("the store is waited for", store=self._doing, error=_told(error))
        time.sleep(min(left, self._wait))
        self._wait = min(_LONGEST_WAIT, self._wait * 2)


def _cluster(place: CassandraPlace, settings: CassandraSettings) -> Any:
    """A client that is not connected yet."""
    from cassandra import ConsistencyLevel
    from cassandra.auth import PlainTextAuthProvider
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.policies import (
        DCAwareRoundRobinPolicy,
        ExponentialReconnectionPolicy,
        FallthroughRetryPolicy,
        TokenAwarePolicy,
    )

    request = min(_LONGEST_REQUEST, settings.store_timeout_seconds)
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(place.datacenter)),
        retry_policy=FallthroughRetryPolicy(),  # `run` tries again
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
        request_timeout=request,
    )
    password = settings.cassandra_password.get_secret_value()
    cluster = Cluster(
        contact_points=list(place.hosts),
        port=place.hosts[0][1],
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        auth_provider=PlainTextAuthProvider(settings.cassandra_user, password) if settings.cassandra_user else None,
        ssl_context=_tls(settings),
        ssl_options=None,
        reconnection_policy=ExponentialReconnectionPolicy(*_RECONNECT),
        connect_timeout=request,
        control_connection_timeout=request,
    )
    cluster.default_fetch_size = _PAGE
    return cluster


def _tls(settings: CassandraSettings) -> ssl.SSLContext | None:
    if not settings.cassandra_tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.cassandra_ca)
        if settings.cassandra_certificate is not None:
            context.load_cert_chain(settings.cassandra_certificate)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(f"cassandra_ca or cassandra_certificate cannot be read: {first_line(error)}") from None
    return context


def _may_pass(error: Exception) -> bool:
    """Whether the same statement may succeed later."""
    from cassandra import (
        CoordinationFailure,
        DriverException,
        OperationTimedOut,
        RequestExecutionException,
        Timeout,
        Unavailable,
    )
    from cassandra.cluster import NoHostAvailable
    from cassandra.connection import ConnectionException
    from cassandra.protocol import IsBootstrappingErrorMessage, OverloadedErrorMessage, ServerError, TruncateError

    if _is_refusal(error):
        return False
    passing = (
        NoHostAvailable,
        OperationTimedOut,
        Timeout,
        Unavailable,
        CoordinationFailure,
        ConnectionException,
        IsBootstrappingErrorMessage,
        OverloadedErrorMessage,
        ServerError,
        TruncateError,
    )
    return isinstance(error, passing) or (
        isinstance(error, DriverException) and not isinstance(error, RequestExecutionException)
    )


def _is_refusal(error: Exception) -> bool:
    """Whether whoever asks is not let in, or asks for what there is not."""
    from cassandra import AuthenticationFailed, InvalidRequest, Unauthorized

    if isinstance(error, InvalidRequest):
        return _FULL not in str(error)
    return isinstance(error, AuthenticationFailed | Unauthorized)


def _told(error: Exception) -> str:
    """One line."""
    inner = getattr(error, "errors", None)
    if isinstance(inner, dict) and inner:
        node, cause = next(iter(inner.items()))
        return f"{node}: {first_line(cause) if isinstance(cause, Exception) else cause}"
    return first_line(error)
