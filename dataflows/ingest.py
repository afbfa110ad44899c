"""Read posts from a polled service or another source, and write them to topics and files; no model is run.

::

    posts ── valid posts and removals ─── sinks
        └───── invalid or too large ─ dead letters

Run it with `python -m bytewax.run dataflows.ingest` and `MEMEWAX_*` settings, or with `memewax ingest`.
"""

from collections.abc import Mapping
from pathlib import Path

from bytewax import operators as op
from bytewax.dataflow import Dataflow

from connectors.chosen_endpoints import Destinations
from connectors.endpoints import POSTS_TO
from connectors.writer_locks import lock_files
from core.endings import ingest_ending
from core.status_writer import FlowFacts
from dataflows.all_settings import Settings
from dataflows.starting import facts_of, started_with
from operators.outputs import write_dead_letters, write_posts
from operators.posts_input import Unfetched, posts_in


def ingest(settings: Settings) -> Dataflow:
    """Build the flow, from the source to the sinks of the settings."""
    flow = Dataflow("ingest")
    arrivals = posts_in("posts", flow, settings, Unfetched())
    posts = op.map("post", arrivals.oks, lambda arrival: arrival.post)
    too_large = write_posts("write", posts, settings, arrivals.removals)
    write_dead_letters("dead_letters", settings, arrivals.removals, arrivals.errs, too_large)
    return flow


def flow() -> Dataflow:
    """Build the flow that `python -m bytewax.run dataflows.ingest` runs."""
    return started_with(_facts, _written, lambda _settings: None, lambda settings, _: ingest(settings), ingest_ending)


def _facts(settings: Settings) -> FlowFacts:
    return facts_of("ingest", settings, Destinations.of(settings, POSTS_TO))


def _written(settings: Settings) -> Mapping[Path, str]:
    return lock_files(Destinations.of(settings, POSTS_TO).all())
