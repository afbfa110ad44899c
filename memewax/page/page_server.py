"""Serves the page until it is told to stop."""

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
"""Python's 5 ms add up: an answer waits for LanceDB's own thread several times, while other threads compute."""
_END_SECONDS: Final = 5
"""For answers that are being given."""


@dataclass(frozen=True, slots=True)
class PageOptions:
    """Where and for whom the page is served."""

    store: Store
    host: str = "127.0.0.1"
    port: int = 0
    token: str = ""
    certificate: Path | None = None
    key: Path | None = None
    is_behind_proxy: bool = False
    dead_letters: str = ""
    """Empty: the file beside the store."""
    may_replay: bool = False
    """Whether visitors may ask the flow to read dead letters once more."""
    opens: bool = True
    """Whether a browser is opened."""


def serve_page(options: PageOptions, settings: Settings) -> None:
    """Serve the page until SIGINT or SIGTERM; raises `SettingsError` and `WorldError` before anything is served."""
    access = access_of(options)
    configure_logging("error")
    store = options.store
    if not (store.names() or store.state.is_dir()):
        raise WorldError(f"there is no store {store}: `memewax run --to {store}` makes one{store_nearby()}")
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
        print(f"memewax: {store} is shown at {address} (Ctrl-C ends it)", file=sys.stderr, flush=True)
        if options.opens:
            threading.Thread(target=_open, args=(address, server), name="browser", daemon=True).start()
        with suppress(KeyboardInterrupt):  # which it raises again when it has ended
            server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """Tells when it is asked to end."""

    def __init__(self, ending: threading.Event, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = ending

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        self._ending.set()
        super().handle_exit(sig, frame)


def access_of(options: PageOptions) -> Access:
    """Who may see the page; raises `SettingsError` where it would be open to a network."""
    if options.token and len(options.token) < _SHORTEST_TOKEN:
        raise SettingsError(f"a token has {_SHORTEST_TOKEN} characters at least")
    if (options.certificate is None) != (options.key is None):
        raise SettingsError("a certificate goes with its key: --certificate FILE --key FILE")
    is_secure = options.certificate is not None or options.is_behind_proxy
    if options.host not in LOOPBACK:
        if not options.token:
            raise SettingsError(f"whoever reaches {options.host} could look: give a token with --token-file FILE")
        if not is_secure:
            raise SettingsError(
                "a token needs TLS: --certificate FILE --key FILE, or --behind-proxy where a proxy before it has that"
            )
    return Access(options.token, is_secure, options.may_replay)


def _listening(options: PageOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=_CONNECTIONS)
    except OSError as error:
        raise WorldError(
            f"{options.host}:{options.port}: {error.strerror or error}: name another with --port, or 0 for any"
        ) from None


def _address(options: PageOptions, port: int) -> str:
    scheme = "https" if options.certificate else "http"
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"{scheme}://{host}:{port}/"


def _open(address: str, server: uvicorn.Server) -> None:
    while not server.started and not server.should_exit:
        time.sleep(0.05)
    webbrowser.open(address)
