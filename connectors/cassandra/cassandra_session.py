"""A Cassandra session: prepared statements, bounded concurrency, retries with back-off of transient errors."""

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
"""Maximum number of statements in flight; more would only queue in the server."""
_LONGEST_REQUEST: Final = 10.0
"""Request timeout in seconds. After it the statement is retried, possibly through another coordinator."""
_FULL: Final = "disk usage"
"""Part of the server's message when it rejects writes because a disk is nearly full."""
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 3.0
_PAGE: Final = 1000
"""Rows per page of a result."""
_RECONNECT: Final = (0.5, 5.0)
"""Shortest and longest delay between reconnection attempts, in seconds. The driver's default waits up to 10 minutes."""


class Statement(NamedTuple):
    """CQL with a placeholder for each value. Untrusted text is only ever bound as a value, never part of the CQL."""

    cql: str
    values: CqlValues = ()


class CassandraSession:
    """A thread-safe session with one keyspace.

    Each statement is prepared once. Reads and writes use the consistency level LOCAL_QUORUM. Transient errors (a node
    is down, slow, overloaded or out of disk) are retried until `store_timeout_seconds` have passed, so every write must
    be idempotent.

    Args:
        place: Address of the keyspace.
        settings: Client settings.
        has_keyspace: Whether to use the keyspace now; False when the caller is about to create it.
    """

    def __init__(self, place: CassandraPlace, settings: CassandraSettings, *, has_keyspace: bool = True) -> None:
        """Connect; raises `WorldError` if Cassandra refuses the client or does not answer in time."""
        self.place = place
        self.is_given_up = False
        """Whether retries ran out of time, after which the session is closed."""
        self._timeout = settings.store_timeout_seconds
        self._lock = threading.Lock()
        self._prepared: dict[str, Any] = {}
        with needs_extra("cassandra", "a store in Cassandra"):
            from cassandra.cluster import NoHostAvailable

        logging.getLogger("cassandra").setLevel(logging.CRITICAL)  # it logs a traceback per node and attempt
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
                    raise WorldError(f"{place}: {_summary(causes[0])}") from None
                retry.wait(causes[0] if causes else error)
            else:
                return

    @property
    def is_there(self) -> bool:
        """Check whether the keyspace exists; raises `WorldError`."""
        cql = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?"
        return any(self.rows(cql, (self.place.keyspace,)))

    def types(self) -> dict[str, dict[str, str]]:
        """Return {table: {column: CQL type}} of the keyspace, from the system schema; raises `WorldError`."""
        cql = "SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = ?"
        found: dict[str, dict[str, str]] = {}
        for row in self.rows(cql, (self.place.keyspace,)):
            found.setdefault(row.table_name, {})[row.column_name] = row.type.replace(" ", "")
        return found

    def indexed(self) -> set[str]:
        """Return the names of the keyspace's indexes; raises `WorldError`."""
        cql = "SELECT index_name FROM system_schema.indexes WHERE keyspace_name = ?"
        return {row.index_name for row in self.rows(cql, (self.place.keyspace,))}

    def nodes(self) -> int:
        """Count the nodes of the local datacenter, at least 1."""
        near = {it.datacenter for it in self._cluster.metadata.all_hosts() if self._is_near(it)}
        return max(1, sum(it.datacenter in near for it in self._cluster.metadata.all_hosts()))

    def datacenters(self) -> list[str]:
        """Return the sorted names of all datacenters of the cluster."""
        return sorted({it.datacenter for it in self._cluster.metadata.all_hosts() if it.datacenter})

    def define(self, cql: str) -> None:
        """Run a schema change and wait for schema agreement of all nodes; raises `WorldError`."""
        try:
            self._session.execute(cql, timeout=self._timeout)
        except Exception as error:
            raise WorldError(f"{self.place}: the schema cannot be changed: {_summary(error)}") from error

    def use(self) -> None:
        """Make the keyspace the current one, once it exists."""
        self._session.set_keyspace(self.place.keyspace)

    def run(self, statements: Iterable[Statement]) -> list[list[Any]]:
        """Run statements concurrently, in no particular order, and return all rows of each; raises `WorldError`."""
        wanted = list(statements)
        found: list[list[Any]] = [[] for _ in wanted]
        left = list(range(len(wanted)))
        retry = _Retry(f"{self.place} cannot be queried or written", self._timeout)
        while left:
            left, error = self._round(wanted, left, found)
            if error is not None:
                if not _is_transient(error):
                    raise WorldError(f"{self.place}: {_summary(error)}") from error
                self._wait(retry, error)
        return found

    def rows(self, cql: str, values: CqlValues = (), *, near: bool = False) -> Iterator[Any]:
        """Yield the rows of one statement, page by page; raises `WorldError`.

        With `near` the nearest replica answers alone (LOCAL_ONE, unpaged), as vector search requires.
        """
        state: bytes | None = None
        while True:
            page, state = self._page(Statement(cql, values), state, near=near)
            yield from page
            if not state:
                return

    def close(self) -> None:
        """Close all connections."""
        self._cluster.shutdown()

    def _page(self, statement: Statement, state: bytes | None, *, near: bool) -> tuple[list[Any], bytes | None]:
        retry = _Retry(f"{self.place} cannot be read", self._timeout)
        while True:
            try:
                bound = self._bound(statement)
                if near:
                    from cassandra import ConsistencyLevel

                    bound.consistency_level = ConsistencyLevel.LOCAL_ONE
                    bound.fetch_size = None  # Cassandra does not page ANN queries
                found = self._session.execute(bound, paging_state=state)
                return list(found.current_rows), found.paging_state
            except Exception as error:
                if not _is_transient(error):
                    raise WorldError(f"{self.place}: {_summary(error)}") from error
                self._wait(retry, error)

    def _wait(self, retry: "_Retry", error: Exception) -> None:
        """Wait before the next attempt. After the deadline, close the session so that other threads stop retrying."""
        try:
            retry.wait(error)
        except WorldError:
            self.is_given_up = True
            self.close()
            raise

    def _round(
        self, statements: Sequence[Statement], numbers: Sequence[int], found: list[list[Any]]
    ) -> tuple[list[int], Exception | None]:
        """Run the statements with these indexes; return the indexes that are still to run, and the error if any."""
        in_flight: deque[tuple[int, Any]] = deque()
        left: list[int] = []
        failed: Exception | None = None

        def await_oldest() -> None:
            nonlocal failed
            number, future = in_flight.popleft()
            try:
                found[number] = list(future.result())
            except Exception as error:
                left.append(number)
                failed = failed if failed is not None and not _is_transient(failed) else error

        for number in numbers:
            if failed is not None:
                left.append(number)
                continue
            try:
                in_flight.append((number, self._session.execute_async(self._bound(statements[number]))))
            except Exception as error:
                left.append(number)
                failed = error
            if len(in_flight) >= _AT_ONCE:
                await_oldest()
        while in_flight:
            await_oldest()
        return sorted(left), failed

    def _bound(self, statement: Statement) -> Any:
        """Bind the values to the prepared statement, preparing it on first use."""
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
        """Check whether a node is in the local datacenter."""
        if self.place.datacenter:
            return bool(host.datacenter == self.place.datacenter)
        return host.address in {name for name, _ in self.place.hosts} or len(self.datacenters()) == 1


def unset() -> Any:
    """Return the driver's marker for a value that is not written. Binding null instead would write a tombstone."""
    from cassandra.query import UNSET_VALUE

    return UNSET_VALUE


class _Retry:
    """Exponential back-off with a deadline."""

    def __init__(self, doing: str, seconds: float) -> None:
        self._doing = doing
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._wait = _FIRST_WAIT

    def wait(self, error: Exception) -> None:
        """Sleep until the next attempt; raises `WorldError` once the deadline has passed."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise WorldError(
                f"{self._doing}: {_summary(error)}; tried for {self._seconds:g} s (store_timeout_seconds): start "
                "Cassandra, or free disk space, and run the same command again"
            ) from error
        if self._wait == _FIRST_WAIT:
            log.warning("waiting for the store", store=self._doing, error=_summary(error))
        time.sleep(min(left, self._wait))
        self._wait = min(_LONGEST_WAIT, self._wait * 2)


def _cluster(place: CassandraPlace, settings: CassandraSettings) -> Any:
    """Create a client, not yet connected."""
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
        retry_policy=FallthroughRetryPolicy(),  # `CassandraSession` retries
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
    name = "MEMEWAX_CASSANDRA_CA"
    try:
        context = ssl.create_default_context(cafile=settings.cassandra_ca)
        name = "MEMEWAX_CASSANDRA_CERTIFICATE"
        if settings.cassandra_certificate is not None:
            context.load_cert_chain(settings.cassandra_certificate)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(f"the file of {name} cannot be read: {first_line(error)}") from None
    return context


def _is_transient(error: Exception) -> bool:
    """Check whether the same statement may succeed later."""
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
    transient = (
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
    return isinstance(error, transient) or (
        isinstance(error, DriverException) and not isinstance(error, RequestExecutionException)
    )


def _is_refusal(error: Exception) -> bool:
    """Check whether the client is not authorised or the request is invalid, so that a retry cannot help."""
    from cassandra import AuthenticationFailed, InvalidRequest, Unauthorized

    if isinstance(error, InvalidRequest):
        return _FULL not in str(error)
    return isinstance(error, AuthenticationFailed | Unauthorized)


def _summary(error: Exception) -> str:
    """Return the error, or the first node's error, in one line."""
    inner = getattr(error, "errors", None)
    if isinstance(inner, dict) and inner:
        node, cause = next(iter(inner.items()))
        return f"{node}: {first_line(cause) if isinstance(cause, Exception) else cause}"
    return first_line(error)
