"""`memewax dead-letters`: list, show, replay and drop dead letters."""

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

app = typer.Typer(
    no_args_is_help=True, help="List, show, replay and drop dead letters: messages that could not be processed."
)

_SHOWN: Final = 500
_AGO: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SUFFIX: Final = ".dead-letters.jsonl"

_LATER: Final = "the next `memewax run` replays them"

From = Annotated[
    str | None, typer.Option("--from", help="File or topic of the dead letters; by default the file beside the store.")
]
LetterStore = Annotated[
    Path | None,
    typer.Option(
        "--store", help="Store, or state file or folder, of the flow that wrote the dead letters.", parser=folder_named
    ),
]
StageName = Annotated[str | None, typer.Option("--stage", help="Only dead letters of one stage: parse, fetch, text, …")]
InReason = Annotated[str | None, typer.Option("--reason", help="Only those whose reason or cause contains this text.")]
Since = Annotated[
    str | None, typer.Option("--since", help="Only those written since a time, or an age such as 30m, 6h, 2d.")
]
Recovery = Annotated[
    Path | None, typer.Option("--recovery", help="Recovery folder of the flow; by default beside the store.")
]
All = Annotated[bool, typer.Option("--all", help="Include those that were replayed or dropped.")]


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
    """Count dead letters by reason, the most frequent first, with the cause and what to do."""
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
        print_rows(["dead letters", *names[1:]], rows)
    else:
        print(f"memewax: {chosen.address} has no open dead letters that match", file=sys.stderr)


@app.command()
def show(
    letter: Annotated[list[str], typer.Argument(help="Ids as printed by `list`, or global_ids.")],
    source: From = None,
    store: LetterStore = None,
    as_json: AsJson = False,
) -> None:
    """Show dead letters with the original message."""
    chosen = _Chosen(source, store, None, None, None, every=True)
    found = [it for it in chosen.dead_letters if it.id in letter or it.global_id in letter]
    if not found:
        raise SettingsError(
            f"{chosen.address} has no dead letter {', '.join(letter)}: `memewax dead-letters list` prints ids"
        )
    shown = [_described(it, chosen.marks) for it in found]
    if as_json:
        write_json({"letters": shown})
    else:
        print_rows(["field", "value"], [[name, value] for it in shown for name, value in it.items()])


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
    """Send open dead letters through the flow again and mark them as replayed.

    A message that fails again becomes a new dead letter. A running flow replays them. If none is running, this
    command replays them now and reads nothing else.
    """
    chosen = _Chosen(source, store, stage, reason, since, every=False)
    requests = ask_replay(chosen.state, chosen.dead_letters, chosen.marks)
    outcome = _replayed(chosen.state, recovery) if requests else f"{chosen.address} has no open dead letters that match"
    if as_json:
        write_json({"replayed": len(chosen.dead_letters), "requests": requests, "what became of them": outcome})
    else:
        replayed = f"{plural(len(chosen.dead_letters), 'dead letter')} replayed: " if requests else ""
        print(f"memewax: {replayed}{outcome}", file=sys.stderr)


@app.command()
def drop(
    source: From = None,
    store: LetterStore = None,
    stage: StageName = None,
    reason: InReason = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Mark open dead letters as dropped, so that `list` and `replay` skip them. They stay in their file or topic."""
    chosen = _Chosen(source, store, stage, reason, since, every=False)
    chosen.marks.add(chosen.dead_letters, "dropped")
    if as_json:
        write_json({"dropped": len(chosen.dead_letters)})
    else:
        print(f"memewax: {plural(len(chosen.dead_letters), 'dead letter')} dropped", file=sys.stderr)


class _Chosen:
    """The dead letters that the options select, deduplicated by id."""

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
    """Leave the replay to the running flow, or run it here if there is none; return a line on the outcome."""
    folder = recovery_of(state, recovery)
    try:
        settings = settings_of(state, folder)
    except SettingsError as error:
        return f"{error}: {_LATER}"
    try:
        ended = do_requests(folder, settings)
    except BusyError:
        return "the running flow replays them"
    done = summary_of(ended)
    records = plural(done.joined + done.partial + done.updated, "record")
    return f"{records} written, {plural(done.dead_letters, 'new dead letter')}"


def _time(since: str) -> datetime:
    if since[-1:] in _AGO and since[:-1].isdigit():
        return datetime.now(UTC) - timedelta(seconds=int(since[:-1]) * _AGO[since[-1]])
    try:
        return parse_time(since)
    except ValueError:
        raise SettingsError(
            f"--since {since!r} is not a time: expected 2026-01-31T12:00, or an age such as 30m, 6h, 2d"
        ) from None


def _described(it: StoredDeadLetter, marks: DeadLetterMarks) -> dict[str, Any]:
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
