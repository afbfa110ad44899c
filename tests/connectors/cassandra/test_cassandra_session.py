"""How statements are run, tried again and refused, behind the driver's interface: without a server."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from cassandra import ConsistencyLevel, InvalidRequest, OperationTimedOut, Unauthorized, WriteTimeout, WriteType
from cassandra.cluster import NoHostAvailable
from cassandra.protocol import OverloadedErrorMessage

from connectors.cassandra import cassandra_session
from connectors.cassandra.cassandra_place import CassandraPlace, CassandraSettings
from connectors.cassandra.cassandra_session import CassandraSession, Statement
from core.errors import WorldError

PLACE = CassandraPlace.of("cassandra://127.0.0.1:9042/memes")
Answer = Callable[[tuple[Any, ...]], list[Any]]


class Bound:
    def __init__(self, cql: str, values: tuple[Any, ...]) -> None:
        self.cql, self.values = cql, values


class Prepared:
    def __init__(self, cql: str) -> None:
        self.cql = cql

    def bind(self, values: tuple[Any, ...]) -> Bound:
        return Bound(self.cql, values)


class Result(list[Any]):
    paging_state = None

    @property
    def current_rows(self) -> list[Any]:
        return list(self)


class Server:
    """What a session of the driver does, with the answers of a test."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.under_way = self.most = 0
        self.prepared: list[str] = []
        self.ended = False

    def connect(self) -> "Server":
        return self

    def set_keyspace(self, name: str) -> None:
        assert name == "memes"

    def shutdown(self) -> None:
        self.ended = True

    def prepare(self, cql: str) -> Prepared:
        self.prepared.append(cql)
        return Prepared(cql)

    def execute(self, bound: Bound, **_: Any) -> Result:
        return Result(["memes"]) if "system_schema" in bound.cql else Result(self.answer(bound.values))

    def execute_async(self, bound: Bound) -> "Future":
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        return Future(self, bound)


class Future:
    def __init__(self, server: Server, bound: Bound) -> None:
        self.server, self.bound = server, bound

    def result(self) -> Result:
        self.server.under_way -= 1
        return Result(self.server.answer(self.bound.values))


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[CassandraSession, Server]]:
    def made(answer: Answer, seconds: float = 5.0) -> tuple[CassandraSession, Server]:
        server = Server(answer)
        monkeypatch.setattr(cassandra_session, "_cluster", lambda *_: server)
        monkeypatch.setattr(cassandra_session, "_FIRST_WAIT", 0.01)
        return CassandraSession(PLACE, CassandraSettings(store_timeout_seconds=seconds)), server

    return made


def overloaded() -> Exception:
    return OverloadedErrorMessage(0x1001, "Server is in overloaded state", None).to_exception()


def timed_out() -> Exception:
    return WriteTimeout(
        "no reply",
        WriteType.SIMPLE,
        consistency=ConsistencyLevel.LOCAL_QUORUM,
        received_responses=0,
        required_responses=1,
    )


def no_host() -> Exception:
    return NoHostAvailable("Unable to complete the operation", {"127.0.0.1:9042": ConnectionRefusedError("refused")})


@pytest.mark.parametrize("error", [overloaded, timed_out, no_host, OperationTimedOut])
def test_what_may_pass_is_tried_again_until_each_has_succeeded_once(
    session: Callable[..., tuple[CassandraSession, Server]], error: Callable[[], Exception]
) -> None:
    failing = {3: 2, 500: 1, 999: 1}
    done: list[int] = []

    def answer(values: tuple[Any, ...]) -> list[Any]:
        if failing.get(values[0], 0):
            failing[values[0]] -= 1
            raise error()
        done.append(values[0])
        return [values[0] * 2]

    asked, server = session(answer)
    found = asked.run(Statement("INSERT ?", (it,)) for it in range(1000))
    assert found == [[it * 2] for it in range(1000)]
    assert sorted(done) == list(range(1000))
    assert server.most <= 128
    assert server.prepared.count("INSERT ?") == 1


def test_what_does_not_pass_in_time_is_one_line(session: Callable[..., tuple[CassandraSession, Server]]) -> None:
    def answer(values: tuple[Any, ...]) -> list[Any]:
        raise overloaded()

    asked, _ = session(answer, seconds=0.3)
    with pytest.raises(WorldError, match=r"cannot be queried or written: .*overloaded.*; tried for 0.3 s") as caught:
        asked.run([Statement("INSERT ?", (1,))])
    assert "\n" not in str(caught.value)
    with pytest.raises(WorldError, match=r"cannot be read: .*overloaded.*; tried for 0.3 s"):
        list(asked.rows("SELECT"))


@pytest.mark.parametrize("error", [InvalidRequest("no such column"), Unauthorized("not yours")])
def test_what_is_refused_is_not_tried_again(
    session: Callable[..., tuple[CassandraSession, Server]], error: Exception
) -> None:
    tries: list[int] = []

    def answer(values: tuple[Any, ...]) -> list[Any]:
        tries.append(values[0])
        raise error

    asked, _ = session(answer, seconds=60)
    with pytest.raises(WorldError, match=str(error)):
        asked.run([Statement("INSERT ?", (1,))])
    assert tries == [1]


def test_a_disk_that_is_full_may_get_room(session: Callable[..., tuple[CassandraSession, Server]]) -> None:
    tries: list[int] = []

    def answer(values: tuple[Any, ...]) -> list[Any]:
        tries.append(values[0])
        if len(tries) < 3:
            raise InvalidRequest(
                "Guardrail replica_disk_usage violated: Write request failed because disk usage exceeds"
            )
        return []

    asked, _ = session(answer)
    asked.run([Statement("INSERT ?", (1,))])
    assert tries == [1, 1, 1]


def test_threads_share_a_session(session: Callable[..., tuple[CassandraSession, Server]]) -> None:
    asked, server = session(lambda values: [values[0]])
    found: dict[int, list[list[Any]]] = {}

    def ask(number: int) -> None:
        found[number] = asked.run([Statement("SELECT ?", (number,))] * 50)

    threads = [threading.Thread(target=ask, args=(it,)) for it in range(8)]
    for it in threads:
        it.start()
    for it in threads:
        it.join()
    assert found == {it: [[it]] * 50 for it in range(8)}
    assert server.prepared.count("SELECT ?") == 1


def test_no_password_is_in_an_address_nor_in_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.errors import SettingsError

    with pytest.raises(SettingsError, match="MEMEWAX_CASSANDRA_PASSWORD") as caught:
        CassandraPlace.of("cassandra://ann:geheim@host/memes")
    assert "geheim" not in str(caught.value)
    settings = CassandraSettings(cassandra_user="ann", cassandra_password="geheim", store_timeout_seconds=0.2)

    def refused(*_: Any) -> Any:
        class Refusing(Server):
            def connect(self) -> "Server":
                raise no_host()

        return Refusing(lambda _: [])

    monkeypatch.setattr(cassandra_session, "_cluster", refused)
    with pytest.raises(WorldError, match=r"does not answer: refused; tried for 0\.2 s") as unreached:
        CassandraSession(PLACE, settings)
    assert "geheim" not in str(unreached.value) + repr(settings)
