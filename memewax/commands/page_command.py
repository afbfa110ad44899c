"""`memewax page`: web page on a store, live while a flow writes it."""

from pathlib import Path
from typing import Annotated, Final

import typer

from core.errors import WorldError
from core.extras import needs_extra
from dataflows.all_settings import load_settings
from memewax.commands.corpus_output import ReadStore, opened_store

_PORT: Final = 3080


def page(
    store: ReadStore = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free one.", min=0, max=65_535)] = _PORT,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open a browser.")] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs a token and TLS.")
    ] = "127.0.0.1",
    token_file: Annotated[Path | None, typer.Option(help="File with the token that visitors must enter.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="TLS: file with the certificate chain.")] = None,
    key: Annotated[Path | None, typer.Option(help="TLS: file with the private key.")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A reverse proxy in front terminates TLS.")
    ] = False,
    allow_replay: Annotated[
        bool, typer.Option("--allow-replay", help="Allow visitors to replay dead letters.")
    ] = False,
    dead_letters: Annotated[str | None, typer.Option(help="File of dead letters; by default beside the store.")] = None,
) -> None:
    """Serve a web page on a store: clusters, posts, search, dead letters and live updates."""
    with needs_extra("page", "memewax page"):
        from memewax.page.page_server import PageOptions, serve_page

    settings = load_settings()
    options = PageOptions(
        opened_store(store),
        host,
        port,
        _token(token_file),
        certificate,
        key,
        behind_proxy,
        dead_letters or "",
        allow_replay,
        not no_open,
    )
    serve_page(options, settings)


def _token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise WorldError(f"{file}: {getattr(error, 'strerror', None) or 'not a text file'}") from None
