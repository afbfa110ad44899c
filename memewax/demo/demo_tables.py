"""Terminal tables of the demo's summary."""

from collections.abc import Iterable
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from memewax.demo.demo_figures import Clusters, DeadLetters, DemoStage, DemoSummary, Moods, Sample

_SAMPLES: Final = 6
_MOODS: Final = ("negative", "neutral", "positive", "none")


def tables(summary: DemoSummary) -> list[Table]:
    """Make the tables of results against labels, the overview first."""
    return [
        _overview(summary),
        _clusters(summary.clusters),
        _moods(summary.moods),
        _samples(summary.samples),
        _dead_letters(summary.dead_letters),
        _stages(summary.stages),
    ]


def overview(summary: DemoSummary) -> list[tuple[str, str, str]]:
    """Return the rows of the overview: subject, what was expected, what was found."""
    posts, ocr, clusters = summary.posts, summary.ocr, summary.clusters
    entities, moods, dead_letters = summary.entities, summary.moods, summary.dead_letters
    read = (
        f"{ocr.character_error_rate:.1%} of characters wrong, {ocr.word_error_rate:.1%} of words; "
        f"{ocr.perfect} captions without an error"
    )
    return [
        (
            "posts",
            f"{posts.expected} records, {posts.repeated} duplicated",
            f"{posts.joined} joined, {posts.complete} complete",
        ),
        ("text", f"{ocr.characters} characters in {ocr.posts} captions", read),
        ("no text", f"{ocr.textless} images", f"{ocr.textless_empty} read as empty"),
        (
            "clusters",
            f"{len(clusters.templates)} templates",
            f"{clusters.clusters} clusters, V-measure {clusters.v_measure:.2f}",
        ),
        (
            "entities",
            f"{entities.expected} names, places and dates",
            f"{entities.found} found, {entities.labelled} with the right label; {entities.reported} reported",
        ),
        ("sentiment", f"{moods.expected} captions", f"{moods.agreed} as expected"),
        (
            "dead letters",
            f"{dead_letters.expected} broken posts",
            f"{dead_letters.found} found" + (", each with its reason" if dead_letters.found else ""),
        ),
    ]


def _table(title: str, *columns: str, numbers: Iterable[str] = ()) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    right = set(numbers)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def _overview(summary: DemoSummary) -> Table:
    took = "" if summary.seconds is None else f" after {summary.seconds:.0f} s"
    table = _table(f"What was found{took}", "", "truth", "found")
    for row in overview(summary):
        table.add_row(*row)
    return table


def _clusters(clusters: Clusters) -> Table:
    table = _table(
        "Templates against clusters", "template", "posts", "main cluster", "share", "all", numbers=("posts", "share")
    )
    for one in clusters.templates:
        share = Text(f"{one.share:.0%}", style="green" if one.share == 1 else "yellow")
        every = " ".join(map(str, one.clusters))
        table.add_row(one.template, str(len(one.clusters)), str(one.main), share, every)
    return table


def _moods(moods: Moods) -> Table:
    table = _table("Sentiment: expected down, found across", "", *_MOODS, numbers=_MOODS)
    for expected, found in moods.found.items():
        cells = [Text(str(found.get(answer, 0)), style="green" if answer == expected else "dim") for answer in _MOODS]
        table.add_row(expected, *cells)
    return table


def _samples(samples: tuple[Sample, ...]) -> Table:
    """Make the table of the three worst and the three best texts, as `Text`: they are untrusted, so not markup."""
    shown = samples if len(samples) <= _SAMPLES else samples[: _SAMPLES // 2] + samples[-(_SAMPLES // 2) :]
    table = _table("Captions, the worst and the best read", "template", "drawn", "read", "wrong", numbers=("wrong",))
    for sample in shown:
        drawn, read = (Text(" / ".join(text.splitlines())) for text in (sample.drawn, sample.read))
        table.add_row(sample.template, drawn, read, f"{sample.error_rate:.0%}")
    return table


def _dead_letters(dead_letters: DeadLetters) -> Table:
    table = _table("Dead letters", "broken on purpose", "stage", "exception", "reason")
    for it in dead_letters.letters:
        kind = Text(it.kind, style="green") if it.kind else Text("no", style="red")
        table.add_row(kind, *map(Text, (it.stage, it.exception, it.reason)))
    for missed in dead_letters.missed:
        table.add_row(Text(missed, style="red"), "", "", "no dead letter")
    return table


def _stages(stages: tuple[DemoStage, ...]) -> Table:
    numbers = ("posts", "failures", "ms a post")
    table = _table("Stages", "stage", "posts", "failures", "ms a post", "model", numbers=numbers)
    for one in stages:
        failures = Text(str(one.failures), style="yellow" if one.failures else "dim")
        table.add_row(Text(one.stage), str(one.posts), failures, f"{1000 * one.seconds_each:.1f}", Text(one.model))
    return table
