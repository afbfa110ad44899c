"""Web server of the page."""

import socket
import sys
import threading
import time
import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from connectors.store.interface import Store
from connectors.store.store_folder import store_nearby
from core.errors import SettingsError, WorldError
from core.telemetry import configure_logging
from dataflows.all_settings import Settings
from memewax.page.page_access import Access
from memewax.page.page_app import make_app
from memewax.page.page_data import PageData
from memewax.page.page_dead_letters import DeadLetterReader, dead_letters_beside
from memewax.page.page_search import PageSearch
from search.store_reader import StoreReader

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_SHORTEST_TOKEN: Final = 16
_CONNECTIONS: Final = 128
_MAX_HEADERS: Final = 32 * 1024
_IDLE_SECONDS: Final = 15
_SWITCH_SECONDS: Final = 0.0005
"""GIL switch interval. Python's 5 ms add up: a response waits several times for LanceDB's thread."""
_END_SECONDS: Final = 5
"""Seconds to finish running requests at shutdown."""


@dataclass(frozen=True, slots=True)
class PageOptions:
    """Address and access options of the page."""

    store: Store
    host: str = "127.0.0.1"
    port: int = 0
    token: str = ""
    certificate: Path | None = None
    key: Path | None = None
    is_behind_proxy: bool = False
    dead_letters: str = ""
    """File of dead letters; empty for the one beside the store."""
    may_replay: bool = False
    """Whether visitors may replay dead letters."""
    opens: bool = True
    """Whether to open a browser."""


def serve_page(options: PageOptions, settings: Settings) -> None:
    """Serve the page until SIGINT or SIGTERM; raises `SettingsError` or `WorldError` before it starts."""
    access = access_of(options)
    configure_logging("error")
    store = options.store
    if not (store.names() or store.state.is_dir()):
        raise WorldError(f"store {store} does not exist: `memewax run --to {store}` creates it{store_nearby()}")
    reader = StoreReader(store)
    dead_letters = DeadLetterReader(
        options.dead_letters or settings.dead_letters or dead_letters_beside(store.state), store.state, settings
    )
    ending = threading.Event()
    app = make_app(
        reader,
        PageData(reader, dead_letters, PageSearch(settings, reader).find),
        access,
        settings.fetch_max_bytes,
        ending,
    )
    with _listening(options) as listening:
        address = _address(options, listening.getsockname()[1])
        server = _Server(
            ending,
            uvicorn.Config(
                app,
                log_level="error",
                access_log=False,
                server_header=False,
                lifespan="off",
                limit_concurrency=_CONNECTIONS,
                h11_max_incomplete_event_size=_MAX_HEADERS,
                timeout_keep_alive=_IDLE_SECONDS,
                timeout_graceful_shutdown=_END_SECONDS,
                proxy_headers=options.is_behind_proxy,
                ssl_certfile=options.certificate,
                ssl_keyfile=options.key,
            ),
        )
        threading.Thread(target=reader.catalogue, name="first look", daemon=True).start()
        sys.setswitchinterval(_SWITCH_SECONDS)
        print(f"memewax: {store} is shown at {address} (Ctrl-C stops it)", file=sys.stderr, flush=True)
        if options.opens:
            threading.Thread(target=_open, args=(address, server), name="browser", daemon=True).start()
        with suppress(KeyboardInterrupt):  # which uvicorn raises again after its shutdown
            server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """A server that sets an event when its shutdown begins."""

    def __init__(self, ending: threading.Event, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = ending

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Set the event and begin the shutdown."""
        self._ending.set()
        super().handle_exit(sig, frame)


def access_of(options: PageOptions) -> Access:
    """Return the access rules; raises `SettingsError` if the page would be open to a network."""
    if options.token and len(options.token) < _SHORTEST_TOKEN:
        raise SettingsError(f"the token is too short: expected at least {_SHORTEST_TOKEN} characters")
    if (options.certificate is None) != (options.key is None):
        raise SettingsError("a certificate needs its key: give --certificate FILE and --key FILE")
    is_secure = options.certificate is not None or options.is_behind_proxy
    if options.host not in LOOPBACK:
        if not options.token:
            raise SettingsError(
                f"everybody who can reach {options.host} could see the page: give a token with --token-file FILE"
            )
        if not is_secure:
            raise SettingsError(
                "a token needs TLS: give --certificate FILE --key FILE, or --behind-proxy if a proxy provides TLS"
            )
    return Access(options.token, is_secure, options.may_replay)


def _listening(options: PageOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=_CONNECTIONS)
    except OSError as error:
        raise WorldError(
            f"{options.host}:{options.port}: {error.strerror or error}: choose another port with --port, or 0 for any"
        ) from None


def _address(options: PageOptions, port: int) -> str:
    scheme = "https" if options.certificate else "http"
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"{scheme}://{host}:{port}/"


def _open(address: str, server: uvicorn.Server) -> None:
    while not server.started and not server.should_exit:
        time.sleep(0.05)
    webbrowser.open(address)
