"""A server that speaks TLS alone and lets nobody in without a password: the real one, and what is said where it fails."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.cassandra.cassandra_place import CassandraPlace, CassandraSettings
from connectors.cassandra.cassandra_session import CassandraSession
from connectors.cassandra.cassandra_store import CassandraStore
from connectors.sinks.cluster_events import CLUSTERS
from connectors.sinks.record_table import POSTS
from core.errors import SettingsError, WorldError
from dataflows.all_settings import load_settings
from tests.cassandra_node import CassandraNode, cassandra_missing
from tests.connectors.cassandra.stores import TABLE, ids, parts, row

PASSWORD = "cassandra"
"""Of the user that a new server has."""
STORE_PASSWORD = "of-tests"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CassandraNode, Path]]:
    """The server, and the file of its certificate."""
    if reason := cassandra_missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("guarded")
    keys, certificate = folder / "keys.p12", folder / "certificate.pem"
    store = ["-keystore", str(keys), "-storepass", STORE_PASSWORD, "-alias", "node"]
    made = ["-genkeypair", "-keyalg", "RSA", "-storetype", "PKCS12", "-dname", "CN=node", "-ext", "SAN=ip:127.0.0.1"]
    subprocess.run(["keytool", *made, *store], check=True, capture_output=True)
    subprocess.run(
        ["keytool", "-exportcert", "-rfc", "-file", str(certificate), *store], check=True, capture_output=True
    )
    options = f'keystore: "{keys}", keystore_password: {STORE_PASSWORD}, store_type: PKCS12'
    node = CassandraNode(
        folder / "node",
        f"client_encryption_options: {{enabled: true, optional: false, {options}}}",
        "authenticator: PasswordAuthenticator",
        settings={
            "cassandra_tls": True,
            "cassandra_ca": certificate,
            "cassandra_user": "cassandra",
            "cassandra_password": PASSWORD,
        },
    )
    try:
        node.start()
        yield node, certificate
    finally:
        node.kill()


def session(node: CassandraNode, **settings: object) -> CassandraSession:
    place = CassandraPlace.of(node.address("system"))
    return CassandraSession(place, CassandraSettings(store_timeout_seconds=3, **settings), has_keyspace=False)


@pytest.mark.slow
def test_settings_of_the_environment_are_enough(
    guarded: tuple[CassandraNode, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node, certificate = guarded
    monkeypatch.setenv("MEMEWAX_CASSANDRA_TLS", "true")
    monkeypatch.setenv("MEMEWAX_CASSANDRA_CA", str(certificate))
    monkeypatch.setenv("MEMEWAX_CASSANDRA_USER", "cassandra")
    monkeypatch.setenv("MEMEWAX_CASSANDRA_PASSWORD", PASSWORD)
    store = CassandraStore(CassandraPlace.of(node.address()), load_settings(), tmp_path)
    store.create([TABLE, CLUSTERS], has_vector_indexes=False)
    parts(store).upsert([row("1-a")])
    assert ids(store, POSTS) == {"1-a"}
    store.close()


@pytest.mark.slow
def test_who_is_not_let_in_is_told_in_one_line_without_the_password(guarded: tuple[CassandraNode, Path]) -> None:
    node, certificate = guarded
    with pytest.raises(WorldError, match="password are incorrect") as refused:
        session(
            node, cassandra_tls=True, cassandra_ca=certificate, cassandra_user="cassandra", cassandra_password="hush"
        )
    with pytest.raises(WorldError, match="certificate verify failed") as untrusted:
        session(node, cassandra_tls=True, cassandra_user="cassandra", cassandra_password="hush")
    with pytest.raises(WorldError) as plain:
        session(node, cassandra_user="cassandra", cassandra_password="hush")
    for it in (refused, untrusted, plain):
        assert "\n" not in str(it.value)
        assert "hush" not in str(it.value)


@pytest.mark.parametrize("name", ["cassandra_ca", "cassandra_certificate"])
@pytest.mark.parametrize("broken", [lambda _: None, lambda it: it.write_text("no certificate")], ids=["gone", "broken"])
def test_a_file_that_cannot_be_read_is_an_error_of_the_settings(
    name: str, broken: Callable[[Path], object], tmp_path: Path
) -> None:
    file = tmp_path / "file.pem"
    broken(file)
    with pytest.raises(SettingsError, match=f"MEMEWAX_{name.upper()} cannot be read"):
        CassandraSession(
            CassandraPlace.of("cassandra://127.0.0.1:1/memes"),
            CassandraSettings(cassandra_tls=True, store_timeout_seconds=0.1, **{name: file}),
        )
