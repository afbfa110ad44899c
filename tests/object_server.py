"""S3 in the tests' own process: moto's server, which can be made slow, busy, broken, or odd about conditions."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

Environ = dict[str, Any]
Start = Callable[..., Any]
Fault = Callable[[Environ], str | None]
"""Gives the status of an error for a request, such as `503 Slow Down`; None: it is answered."""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "secret-of-tests", "AWS_REGION": "us-east-1"}


class ObjectServer:
    """Serves buckets on a port of its own until it is closed."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app  # late: that takes a second
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *_: Any) -> None:
                pass

        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=Quiet)
        self.fault: Fault = lambda _: None
        self.ignores_conditions = False
        self.asked = 0
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def bucket(self) -> str:
        """The name of a new bucket."""
        import boto3

        name = f"bucket-{uuid4().hex[:12]}"
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=self.url, **keys).create_bucket(Bucket=name)
        return name

    @contextmanager
    def having(self, fault: Fault) -> Iterator[None]:
        """Answer with a fault for the block."""
        self.fault = fault
        try:
            yield
        finally:
            self.fault = lambda _: None

    def _answer(self, environ: Environ, start: Start) -> Iterable[bytes]:
        self.asked += 1
        if (status := self.fault(environ)) is not None:
            body = b"<Error><Code>%s</Code></Error>" % status.split(" ", 1)[1].replace(" ", "").encode()
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]
        if self.ignores_conditions:
            environ.pop("HTTP_IF_NONE_MATCH", None)
        answer: Iterable[bytes] = self._app(environ, start)
        return answer


def is_conditional(environ: Environ) -> bool:
    return "HTTP_IF_NONE_MATCH" in environ


def slow(seconds: float) -> Fault:
    """Each answer takes so long."""

    def wait(_: Environ) -> None:
        time.sleep(seconds)

    return wait


@pytest.fixture(scope="session")
def served_objects() -> Iterator[ObjectServer]:
    server = ObjectServer()
    yield server
    server.close()


@pytest.fixture
def object_server(served_objects: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    """The server, and the environment by which this process and those that it starts find it."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MEMEWAX_S3_ENDPOINT", served_objects.url)
    yield served_objects
    served_objects.fault = lambda _: None
    served_objects.ignores_conditions = False
