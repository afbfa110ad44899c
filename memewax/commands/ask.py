"""`memewax ask`: the nearest texts to a sentence, or the nearest memes to an image."""

import sys
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from core.errors import BadRecordError, MemewaxError, SettingsError, WorldError
from core.extras import needs_extra
from core.records import Pixels
from core.telemetry import configure_logging
from core.traces import TRACES
from core.untrusted_text import safe_json, sanitized
from dataflows.all_settings import Settings, load_settings
from memewax.commands.answer_view import print_answer
from memewax.commands.corpus_output import ReadStore, opened_store

if TYPE_CHECKING:
    from connectors.store.interface import Store
    from search.query import Query

QueryBody = dict[str, Any]
AskFor = Callable[[QueryBody, "Query"], QueryBody]
"""Map a query, as its JSON object and parsed, to the JSON object of its answer."""

_LARGEST_IMAGE: Final = 700_000
"""Bytes; encoded as base64 they fit into a Kafka message of the default maximum size (1 MB)."""
_SIDES: Final = (1024, 768, 512)
"""Longest sides in pixels: larger images are scaled down before sending; no image model here needs more detail."""


def ask(
    sentence: Annotated[
        str | None,
        typer.Argument(help="What to look for; without it, a prompt. Put -- before a sentence that begins with -."),
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="Image file to search by instead: finds the most similar memes.")
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Corpus to search; `posts` are those that `memewax run` analysed.")
    ] = None,
    count: Annotated[int, typer.Option("-k", min=1, max=100, help="Number of nearest results.")] = 1,
    source: Annotated[str | None, typer.Option(help="Only posts of this source.")] = None,
    after: Annotated[str | None, typer.Option(help="Only posts from this time on, such as 2020-01-31.")] = None,
    before: Annotated[str | None, typer.Option(help="Only posts before this time.")] = None,
    language: Annotated[str | None, typer.Option(help="Only posts in this language.")] = None,
    store: ReadStore = None,
    brokers: Annotated[
        str | None, typer.Option(help="HOST:PORT of Kafka: query a running `memewax serve` instead of the store.")
    ] = None,
    queries_topic: Annotated[str, typer.Option(help="Topic that `memewax serve` reads.")] = "queries",
    answers_topic: Annotated[str, typer.Option(help="Topic that `memewax serve` writes.")] = "answers",
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer over Kafka.", min=0.1)] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each answer.")] = False,
) -> None:
    """Find what is nearest to a sentence or image, in the store or over Kafka from a running `memewax serve`."""
    if image is not None and sentence is not None:
        raise SettingsError("got both a sentence and an image: give one of them")
    settings = load_settings(**({} if corpus is None else {"corpus": corpus}))
    configure_logging("error")  # print only the answer, or one line of error
    TRACES.begin(settings.traces if brokers else "")
    filters = {"source": source, "after": after, "before": before, "language": language}
    common: QueryBody = {"k": count, "filters": {name: value for name, value in filters.items() if value is not None}}
    if corpus is not None:
        common["corpus"] = corpus
    is_typed = sentence is None and image is None and sys.stdin.isatty()
    subjects = _subjects(sentence, image, settings, small=brokers is not None)
    answering = (
        _over_kafka(settings, brokers, queries_topic, answers_topic, timeout)
        if brokers
        else _from_store(settings, opened_store(store), images=image is not None)
    )
    with answering as answer_to:
        for subject in subjects:
            try:
                _ask_one(answer_to, {"id": uuid.uuid4().hex, **common, **subject}, settings, as_json=as_json)
            except MemewaxError as error:
                if not is_typed:
                    raise
                print(sanitized(f"memewax: {error}"), file=sys.stderr)


def _ask_one(answer_to: AskFor, body: QueryBody, settings: Settings, *, as_json: bool) -> None:
    from search.query import query_of

    try:
        query = query_of(body, settings.corpus)
        query.text.encode()
    except BadRecordError as bad:
        raise SettingsError(str(bad)) from None
    except UnicodeEncodeError:
        raise SettingsError("the sentence is not valid UTF-8: use a terminal with UTF-8 encoding") from None
    answer = answer_to(body, query)
    if as_json:
        sys.stdout.write(safe_json(answer) + "\n")
    if error := answer.get("error"):
        raise MemewaxError(str(error["reason"]))
    if not as_json:
        print_answer(answer)


def _subjects(sentence: str | None, image: Path | None, settings: Settings, *, small: bool) -> Iterator[QueryBody]:
    if image is not None:
        yield {"image": _image(image, settings, small=small)}
    elif sentence is not None:
        yield {"text": sentence}
    elif sys.stdin.isatty():
        yield from ({"text": line} for line in _typed())
    else:
        yield from ({"text": line.rstrip("\n")} for line in sys.stdin if line.strip())


def _typed() -> Iterator[str]:
    """Yield sentences from a prompt until Ctrl-D; the arrow keys browse the history."""
    from platformdirs import user_state_path

    with needs_extra("commands", "memewax ask"):
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import FileHistory

    history = user_state_path("memewax", ensure_exists=True) / "ask-history"
    session: PromptSession[str] = PromptSession(history=FileHistory(str(history)))
    while True:
        try:
            line = session.prompt("> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if line.strip():
            yield line


def _image(path: Path, settings: Settings, *, small: bool) -> bytes:
    """Return the file's bytes; if `small`, re-encode a large image to at most `_LARGEST_IMAGE` bytes."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WorldError(f"cannot read {path}: {error.strerror}") from None
    if not small or len(data) <= _LARGEST_IMAGE:
        return data
    from connectors.fetching.decode import decode
    from connectors.fetching.outcomes import FetchError

    for side in _SIDES:
        try:
            pixels = decode(data, max_pixels=settings.fetch_max_pixels, max_side=side)
        except FetchError as error:
            raise WorldError(f"{path} is not a readable image: {error}") from None
        packed = _packed(pixels)
        if len(packed) <= _LARGEST_IMAGE:
            break
    return packed


def _packed(pixels: Pixels) -> bytes:
    """Encode pixels as JPEG at a quality that changes the image's embedding by less than 0.0001."""
    from io import BytesIO

    from PIL import Image

    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=92)
    return out.getvalue()


@contextmanager
def _over_kafka(settings: Settings, brokers: str, queries: str, answers: str, timeout: float) -> Iterator[AskFor]:
    from memewax.commands.query_client import QueryClient

    query_client = QueryClient(brokers, queries, answers, settings.kafka, timeout)
    try:
        yield lambda body, _: query_client.ask(_for_json(body), timeout)
    finally:
        query_client.close()


def _for_json(body: QueryBody) -> QueryBody:
    """Return the body with its image, if any, in base64."""
    return body | {"image": b64encode(body["image"]).decode()} if "image" in body else body


@contextmanager
def _from_store(settings: Settings, store: "Store", *, images: bool) -> Iterator[AskFor]:
    """Answer from the store in this process, without a broker."""
    from search.answer import answer_body
    from search.store_searcher import StoreSearcher

    console = Console(file=sys.stderr)
    with console.status("loading the model …") if console.is_terminal else nullcontext():
        engine = StoreSearcher(store, settings, settings, images=images)
    yield lambda _, query: answer_body(engine.answer(query))
