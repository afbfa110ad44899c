"""`memewax dead-letters`: what could not be used, why, and how it comes again."""

import sys
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from connectors.control.replays import ask_replay
from connectors.stored_dead_letters import DeadLetterMarks, StoredDeadLetter, read_dead_letters
from core.causes import cause_of
from core.endings import plural
from core.errors import BusyError, SettingsError
from core.times import parse_time
from dataflows.all_settings import load_settings
from memewax.commands.corpus_output import AsJson, folder_named, print_rows, write_json
from memewax.commands.flow_run import summary_of
from memewax.commands.stopped_flow import STATE, do_requests, recovery_of, settings_of

app = typer.Typer(no_args_is_help=True, help="What could not be used: why, and how it comes again.")

_SHOWN: Final = 500
_AGO: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SUFFIX: Final = ".dead-letters.jsonl"

_LATER: Final = "the next `memewax run` reads them"

From = Annotated[
    str | None, typer.Option("--from", help="File or topic of the letters; by default the file beside the store.")
]
LetterStore = Annotated[
    Path | None,
    typer.Option(
        "--store", help="The store, or the file or folder of state, of the flow that wrote them.", parser=folder_named
    ),
]
StageName = Annotated[str | None, typer.Option("--stage", help="Those of one stage: parse, fetch, text, …")]
InReason = Annotated[str | None, typer.Option("--reason", help="Those whose reason, or its cause, has these words.")]
Since = Annotated[str | None, typer.Option("--since", help="Those written since a time, or 30m, 6h, 2d ago.")]
Recovery = Annotated[
    Path | None, typer.Option("--recovery", help="The recovery folder of the flow; by default beside the store.")
]
All = Annotated[bool, typer.Option("--all", help="Those that were replayed or dropped too.")]


@app.command("list")
def list_dead_letters(
    source: From = None,
    store: LetterStore = None,
    stage: StageName = None,
    reason: InReason = None,
    since: Since = None,
    every: All = False,
    as_json: AsJson = False,
) -> None:
    """Count them by reason, the commonest first, with the cause and what to do."""
    chosen = _Chosen(source, store, stage, reason, since, every)
    groups: dict[tuple[str, str], list[StoredDeadLetter]] = defaultdict(list)
    for it in chosen.dead_letters:
        groups[it.stage, it.kind].append(it)
    rows = []
    for (of_stage, kind), dead_letters in sorted(groups.items(), key=lambda it: -len(it[1])):
        cause = cause_of(dead_letters[0].reason)
        rows.append([len(dead_letters), of_stage, cause.what, cause.advice, kind, dead_letters[0].id])
    names = ["letters", "stage", "cause", "what to do", "reason", "for example"]
    if as_json:
        write_json(
            {"letters": len(chosen.dead_letters), "groups": [dict(zip(names, row, strict=True)) for row in rows]}
        )
    elif rows:
        print_rows(names, rows)
    else:
        print(f"memewax: no dead letter in {chosen.address} that is open", file=sys.stderr)


@app.command()
def show(
    letter: Annotated[list[str], typer.Argument(help="Ids, as `list` gives them; or global_ids.")],
    source: From = None,
    store: LetterStore = None,
    as_json: AsJson = False,
) -> None:
    """Show letters, with the message as it was read."""
    chosen = _Chosen(source, store, None, None, None, every=True)
    found = [it for it in chosen.dead_letters if it.id in letter or it.global_id in letter]
    if not found:
        raise SettingsError(f"{chosen.address} has no letter {', '.join(letter)}: `memewax dead-letters list` has ids")
    told = [_told(it, chosen.marks) for it in found]
    if as_json:
        write_json({"letters": told})
    else:
        print_rows(["of", "what"], [[name, value] for it in told for name, value in it.items()])


@app.command()
def replay(
    source: From = None,
    store: LetterStore = None,
    stage: StageName = None,
    reason: InReason = None,
    since: Since = None,
    recovery: Recovery = None,
    as_json: AsJson = False,
) -> None:
    """Send open letters through the flow once more, and mark them; who failed again becomes a letter again.

    A flow that runs does it. Where none runs, it is done here and now, and nothing else is read.
    """
    chosen = _Chosen(source, store, stage, reason, since, every=False)
    requests = ask_replay(chosen.state, chosen.dead_letters, chosen.marks)
    told = _replayed(chosen.state, recovery) if requests else f"no dead letter in {chosen.address} is open"
    if as_json:
        write_json({"replayed": len(chosen.dead_letters), "requests": requests, "what became of them": told})
    else:
        dead_letters = f"{plural(len(chosen.dead_letters), 'letter')} replayed: " if requests else ""
        print(f"memewax: {dead_letters}{told}", file=sys.stderr)


@app.command()
def drop(
    source: From = None,
    store: LetterStore = None,
    stage: StageName = None,
    reason: InReason = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Mark open letters as done with: no list has them, and no replay brings them; they stay in their file or topic."""
    chosen = _Chosen(source, store, stage, reason, since, every=False)
    chosen.marks.add(chosen.dead_letters, "dropped")
    if as_json:
        write_json({"dropped": len(chosen.dead_letters)})
    else:
        print(f"memewax: {len(chosen.dead_letters):,} letters dropped", file=sys.stderr)


class _Chosen:
    """The letters that options name, each once."""

    def __init__(
        self,
        source: str | None,
        store: Path | None,
        stage: str | None,
        reason: str | None,
        since: str | None,
        every: bool,
    ) -> None:
        settings = load_settings()
        named = source or settings.dead_letters
        if store is None and named.endswith(_SUFFIX):
            stem = Path(named.removesuffix(_SUFFIX))
            store = stem if stem.is_dir() else stem.with_name(f"{stem.name}{STATE}")
        self.state = store or settings.store
        self.address = named or f"{str(self.state).removesuffix(STATE)}{_SUFFIX}"
        self.marks = DeadLetterMarks(self.state)
        start = None if since is None else _time(since)
        found: dict[str, StoredDeadLetter] = {}
        for it in read_dead_letters(self.address, settings):
            if it.id not in found or it.time is None or it.time > (found[it.id].time or it.time):
                found[it.id] = it
        self.dead_letters = [
            it
            for it in found.values()
            if (every or self.marks.of(it) is None)
            and (stage is None or it.stage == stage)
            and (reason is None or reason.lower() in f"{it.reason}\n{cause_of(it.reason).what}".lower())
            and (start is None or (it.time is not None and it.time >= start))
        ]


def _replayed(state: Path, recovery: Path | None) -> str:
    """Let the flow that writes there do what it is asked, or else do it here; says what became of it."""
    folder = recovery_of(state, recovery)
    try:
        settings = settings_of(state, folder)
    except SettingsError as error:
        return f"{error}: {_LATER}"
    try:
        ended = do_requests(folder, settings)
    except BusyError:
        return "the flow that runs reads them"
    done = summary_of(ended)
    again = plural(done.joined + done.partial + done.updated, "record")
    return f"{again} written, {plural(done.dead_letters, 'dead letter')} again"


def _time(since: str) -> datetime:
    if since[-1:] in _AGO and since[:-1].isdigit():
        return datetime.now(UTC) - timedelta(seconds=int(since[:-1]) * _AGO[since[-1]])
    try:
        return parse_time(since)
    except ValueError:
        raise SettingsError(f"--since {since!r} is no time: expected 2026-01-31T12:00, or 30m, 6h, 2d") from None


def _told(it: StoredDeadLetter, marks: DeadLetterMarks) -> dict[str, Any]:
    cause = cause_of(it.reason)
    return {
        "id": it.id,
        "became": marks.of(it) or "open",
        "stage": it.stage,
        "reason": f"{it.exception}: {it.reason}",
        "cause": cause.what,
        "what to do": cause.advice,
        "global_id": it.global_id or "",
        "origin": it.message.origin,
        "time": "" if it.time is None else it.time.isoformat(),
        "message": it.message.value[:_SHOWN].decode(errors="replace") + ("…" if len(it.message.value) > _SHOWN else ""),
    }
