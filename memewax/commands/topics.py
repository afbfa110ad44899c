"""`memewax topics`: create, check and describe the Kafka topics of memewax, declared in one list."""

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

app = typer.Typer(no_args_is_help=True, help="Create, check and describe the Kafka topics of memewax.")

_BROKERS: Final = "HOST:PORT of the Kafka brokers, separated by commas."
_ONLY: Final = "Only the topic of this name; repeat it for several. By default those that flows use, without taps."

Brokers = Annotated[str, typer.Option(help=_BROKERS)]
Only = Annotated[list[str] | None, typer.Option(help=_ONLY)]
Partitions = Annotated[
    int | None, typer.Option(help="Partitions of each topic, instead of the declared number.", min=1)
]
Replication = Annotated[int | None, typer.Option(help="Replication factor, instead of the declared one.", min=1)]
TopicsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def create(
    brokers: Brokers,
    only: Only = None,
    partitions: Partitions = None,
    replication: Replication = None,
    as_json: TopicsJson = False,
) -> None:
    """Create missing topics; existing ones are left unchanged, and differences are reported."""
    cluster, topics = _on_cluster(brokers, only, partitions, replication)
    made = cluster.create(topics)
    differing = _differing(cluster, topics)
    if as_json:
        _print_json([
            {**_plain(it), "made": it.name in made, "differences": _of(it, differing)} for it in topics
        ])  # fmt: skip
    else:
        for topic in topics:
            outcome = "created" if topic.name in made else "differs" if _of(topic, differing) else "exists"
            sys.stdout.write(f"{outcome:9}  {topic.name}\n")
    if differing:
        print(f"memewax: {_summary(differing)}; they were left unchanged", file=sys.stderr)


@app.command()
def check(
    brokers: Brokers,
    only: Only = None,
    partitions: Partitions = None,
    replication: Replication = None,
    as_json: TopicsJson = False,
) -> None:
    """Compare the topics of a Kafka cluster with the declared ones; ends with exit code 3 if they differ."""
    cluster, topics = _on_cluster(brokers, only, partitions, replication)
    differing = _differing(cluster, topics)
    if as_json:
        _print_json([asdict(it) for it in differing])
    elif differing:
        table = Table("topic", "property", "found", "expected")
        for it in differing:
            table.add_row(it.topic, it.what, it.found, it.expected)
        Console().print(table)
    else:
        sys.stdout.write(f"{plural(len(topics), 'topic')} as declared\n")
    if differing:
        raise WorldError(f"{_summary(differing)}; `memewax topics create` creates missing ones")


@app.command()
def describe(
    brokers: Annotated[
        str | None, typer.Option(help=f"{_BROKERS} By default only the declarations are described.")
    ] = None,
    only: Only = None,
    as_json: TopicsJson = False,
) -> None:
    """Describe each topic: its use and declared properties, and with --brokers, the actual ones."""
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
def asyncapi(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")] = False) -> None:
    """Print the topics as an AsyncAPI 3.0 document, with a JSON Schema of each message."""
    document = asyncapi_document()
    if as_json:
        _print_json(document)
    else:
        sys.stdout.write(yaml_of(document))


def _on_cluster(
    brokers: str, only: Sequence[str] | None, partitions: int | None = None, replication: int | None = None
) -> tuple[TopicCluster, list[Topic]]:
    """Return the cluster, and the declared topics with the given or feasible replication."""
    topics = chosen(only or (), partitions, replication)
    settings = load_settings()
    configure_logging("error")  # an error of the brokers is reported in one line
    cluster = TopicCluster(brokers, settings.kafka, settings.kafka_timeout_seconds)
    count = cluster.brokers()
    wanted = max(topic.replication for topic in topics)
    if replication is None and count < wanted:
        replicas = f"{plural(count, 'replica')} of each partition instead of {wanted}"
        print(f"memewax: {plural(count, 'broker')}, so {replicas}", file=sys.stderr)
        topics = fitted(topics, count)
    return cluster, topics


def _differing(cluster: TopicCluster, topics: Sequence[Topic]) -> list[Difference]:
    found = cluster.find(topics)
    return [difference for topic in topics for difference in differences(topic, found.get(topic.name))]


def _of(topic: Topic, differing: Sequence[Difference]) -> list[dict[str, Any]]:
    return [asdict(it) for it in differing if it.topic == topic.name]


def _summary(differing: Sequence[Difference]) -> str:
    names = list(dict.fromkeys(it.topic for it in differing))
    return f"{plural(len(names), 'topic')} not as declared: {', '.join(names)}"


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
    columns = ("topic", "use", "role", "key", "partitions", "replicas", "retention", "cleanup")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (*columns, *(["found: partitions x replicas"] if with_found else [])):
        table.add_column(name, overflow="fold")
    for row in rows:
        days = timedelta(milliseconds=int(row["config"]["retention.ms"])).days
        cells = [row["name"], row["what"], row["role"], row["key"], str(row["partitions"]), str(row["replication"])]
        cells += [f"{days} d", row["config"]["cleanup.policy"]]
        if with_found:
            found = row["found"]
            cells.append("missing" if found is None else f"{found['partitions']} x {found['replication']}")
        table.add_row(*cells)
    return table


def _print_json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
