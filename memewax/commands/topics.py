"""`memewax topics`: the topics of memewax, made, checked and described from one list."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, Final

import orjson
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from connectors.topics.admin import Difference, TopicCluster, differences, fitted
from connectors.topics.asyncapi import asyncapi_document, yaml_of
from connectors.topics.declared import NAMES, Topic, chosen
from core.endings import plural
from core.errors import WorldError
from core.telemetry import configure_logging
from dataflows.all_settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Make, check and describe the topics of memewax, from one list.")

_BROKERS: Final = "HOST:PORT of the cluster, more after commas."
_ONLY: Final = "The topic of this name; as often as you like. By default those that the flows use: no taps."

Brokers = Annotated[str, typer.Option(help=_BROKERS)]
Only = Annotated[list[str] | None, typer.Option(help=_ONLY)]
Partitions = Annotated[int | None, typer.Option(help="Partitions of each topic, in place of the list's.", min=1)]
Replication = Annotated[int | None, typer.Option(help="Copies of each partition, in place of the list's.", min=1)]
TopicsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def create(
    brokers: Brokers,
    only: Only = None,
    partitions: Partitions = None,
    replication: Replication = None,
    as_json: TopicsJson = False,
) -> None:
    """Make the topics that are missing; what is there already is left as it is, and told where it differs."""
    cluster, topics = _on_cluster(brokers, only, partitions, replication)
    made = cluster.create(topics)
    differing = _differing(cluster, topics)
    if as_json:
        _print_json([
            {**_plain(it), "made": it.name in made, "differences": _of(it, differing)} for it in topics
        ])  # fmt: skip
    else:
        for topic in topics:
            outcome = "made" if topic.name in made else "differs" if _of(topic, differing) else "was there"
            sys.stdout.write(f"{outcome:9}  {topic.name}\n")
    if differing:
        print(f"memewax: {_told(differing)}; nothing of it was changed", file=sys.stderr)


@app.command()
def check(
    brokers: Brokers,
    only: Only = None,
    partitions: Partitions = None,
    replication: Replication = None,
    as_json: TopicsJson = False,
) -> None:
    """Compare the topics of a cluster with the list; ends with 3 where they differ."""
    cluster, topics = _on_cluster(brokers, only, partitions, replication)
    differing = _differing(cluster, topics)
    if as_json:
        _print_json([asdict(it) for it in differing])
    elif differing:
        table = Table("topic", "what", "found", "expected")
        for it in differing:
            table.add_row(it.topic, it.what, it.found, it.expected)
        Console().print(table)
    else:
        sys.stdout.write(f"{plural(len(topics), 'topic')} as in the list\n")
    if differing:
        raise WorldError(f"{_told(differing)}; `memewax topics create` makes those that are missing")


@app.command()
def describe(
    brokers: Annotated[str | None, typer.Option(help=f"{_BROKERS} Without it the list alone is described.")] = None,
    only: Only = None,
    as_json: TopicsJson = False,
) -> None:
    """Say what each topic is for and how it should be, and with a cluster, how it is there."""
    if brokers is None:
        rows = [_plain(topic) for topic in chosen(only or NAMES)]
    else:
        cluster, topics = _on_cluster(brokers, only)
        found = cluster.find(topics)
        rows = []
        for topic in topics:
            there = found.get(topic.name)
            config = {} if there is None else {name: there.config.get(name) for name in topic.config}
            is_ = None if there is None else {**asdict(there), "config": config}
            rows.append({**_plain(topic), "found": is_})
    if as_json:
        _print_json(rows)
    else:
        Console(width=None if sys.stdout.isatty() else 200).print(_described(rows, with_found=brokers is not None))


@app.command()
def asyncapi(as_json: Annotated[bool, typer.Option("--json", help="JSON in place of YAML.")] = False) -> None:
    """Print the list as an AsyncAPI 3.0 document, with a JSON Schema of each message."""
    document = asyncapi_document()
    if as_json:
        _print_json(document)
    else:
        sys.stdout.write(yaml_of(document))


def _on_cluster(
    brokers: str, only: Sequence[str] | None, partitions: int | None = None, replication: int | None = None
) -> tuple[TopicCluster, list[Topic]]:
    """The cluster, and the topics as they should be there."""
    topics = chosen(only or (), partitions, replication)
    settings = load_settings()
    configure_logging("error")  # what is wrong with the brokers is one line
    cluster = TopicCluster(brokers, settings.kafka, settings.kafka_timeout_seconds)
    count = cluster.brokers()
    wanted = max(topic.replication for topic in topics)
    if replication is None and count < wanted:
        copies = f"{plural(count, 'copy', 'copies')} of a partition in place of {wanted}"
        print(f"memewax: {plural(count, 'broker')}, so {copies}", file=sys.stderr)
        topics = fitted(topics, count)
    return cluster, topics


def _differing(cluster: TopicCluster, topics: Sequence[Topic]) -> list[Difference]:
    found = cluster.find(topics)
    return [difference for topic in topics for difference in differences(topic, found.get(topic.name))]


def _of(topic: Topic, differing: Sequence[Difference]) -> list[dict[str, Any]]:
    return [asdict(it) for it in differing if it.topic == topic.name]


def _told(differing: Sequence[Difference]) -> str:
    names = list(dict.fromkeys(it.topic for it in differing))
    return f"{plural(len(names), 'topic')} not as in the list: {', '.join(names)}"


def _plain(topic: Topic) -> dict[str, Any]:
    return {
        "name": topic.name,
        "what": topic.what,
        "role": topic.role,
        "body": topic.body,
        "key": topic.key,
        "partitions": topic.partitions,
        "replication": topic.replication,
        "config": topic.config,
    }


def _described(rows: Sequence[dict[str, Any]], *, with_found: bool) -> Table:
    columns = ("topic", "what", "role", "key", "partitions", "copies", "kept for", "clean-up")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (*columns, *(["there: partitions of copies"] if with_found else [])):
        table.add_column(name, overflow="fold")
    for row in rows:
        days = timedelta(milliseconds=int(row["config"]["retention.ms"])).days
        cells = [row["name"], row["what"], row["role"], row["key"], str(row["partitions"]), str(row["replication"])]
        cells += [f"{days} d", row["config"]["cleanup.policy"]]
        if with_found:
            found = row["found"]
            cells.append("missing" if found is None else f"{found['partitions']} of {found['replication']}")
        table.add_row(*cells)
    return table


def _print_json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
