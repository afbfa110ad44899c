"""`memewax bench reposts`: speed-up by the cache on a stream in which some posts show an image that came before."""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final

import orjson
import typer

from core.errors import SettingsError, WorldError
from core.extras import needs_extra
from dataflows.all_settings import load_settings
from memewax.bench.bench_observing import spread
from memewax.bench.machine import machine
from memewax.commands.recovery import prepare_recovery
from memewax.commands.supervise import Job, run_job

_FLOW: Final = "memes"
_SHARES: Final = (0.0, 0.5, 0.9)
_WARM: Final = 8
"""Warm-up posts, each with a distinct image, which are not timed: models are slower at first."""
_SNAPSHOT_SECONDS: Final = 10.0
_ENDINGS: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif"})


@dataclass(frozen=True, slots=True)
class RepostsRun:
    """One run over a stream."""

    seconds: float
    """Time from the last warm-up post to the last post."""
    known: int
    """Number of records whose image results all came from the cache."""


@needs_extra("bench", "memewax bench reposts")
def reposts(
    data: Annotated[
        Path | None, typer.Option("--data", help="A folder of images; by default memes of the demo are generated.")
    ] = None,
    posts: Annotated[int, typer.Option(min=10, help="Number of timed posts per run.")] = 60,
    runs: Annotated[int, typer.Option(min=1, help="Number of pairs of runs, with and without the cache.")] = 2,
    share: Annotated[
        list[float] | None,
        typer.Option(min=0.0, max=0.99, help="Share of reposts, from 0 to 0.99; may be repeated."),
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="Precision of the models; may be repeated. By default exact and auto.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare the whole flow with the cache and without it, by the share of reposts."""
    shares = share or list(_SHARES)
    chosen = precision or ["exact", "auto"]
    if load_settings().models == "fake":
        raise SettingsError("MEMEWAX_MODELS is fake, but this benchmark needs real models: unset MEMEWAX_MODELS")
    with tempfile.TemporaryDirectory(prefix="memewax-bench-") as name:
        bench = _Bench(Path(name), posts, runs)
        images = _images(data) if data else _drawn(Path(name), posts + _WARM)
        if len(images) < posts + _WARM:
            raise SettingsError(
                f"{posts} posts need {posts + _WARM} images, but {len(images)} were found: lower --posts"
            )
        measured = {it: {str(part): bench.compare(images, part, it) for part in shares} for it in chosen}
    first = measured[chosen[0]]
    report = {
        "speedup": {part: found["speedup"] for part, found in first.items()},
        "precisions": measured,
        "posts": posts,
        "runs": runs,
        "machine": machine(),
    }
    sys.stdout.write(orjson.dumps(report, option=0 if as_json else orjson.OPT_INDENT_2).decode() + "\n")


class _Bench:
    def __init__(self, folder: Path, posts: int, runs: int) -> None:
        self._folder = folder
        self._posts = posts
        self._runs = runs
        self._numbers = count()

    def compare(self, images: Sequence[Path], share: float, precision: str) -> dict[str, Any]:
        """Compare runs with and without the cache. They are interleaved, so that drift of the machine affects both."""
        source = self._stream(images, share)
        turns = [
            (self._run(source, "exact", precision), self._run(source, "off", precision)) for _ in range(self._runs)
        ]
        ratios = spread([without.seconds / with_it.seconds for with_it, without in turns])
        return {
            "speedup": ratios["median"],
            "pairs": ratios,
            "seconds_with": spread([it.seconds for it, _ in turns]),
            "seconds_without": spread([it.seconds for _, it in turns]),
            "known": [it.known for it, _ in turns],
        }

    def _stream(self, images: Sequence[Path], share: float) -> Path:
        """Write a file of posts: warm-up posts with distinct images, then originals and reposts in random order."""
        originals = max(1, round(self._posts * (1 - share)))
        reposts = (images[_WARM + it % originals] for it in range(self._posts - originals))
        shown = [*images[_WARM : _WARM + originals], *reposts]
        Random(0).shuffle(shown)  # noqa: S311 - an order, not a secret
        lines = [
            {
                "global_id": f"{number}-bench",
                "author": f"user{number % 97}",
                "created_time": "2026-11-22T10:00:00+00:00",
                "url": str(image),
                "source": "bench",
            }
            for number, image in enumerate([*images[:_WARM], *shown])
        ]
        path = self._folder / f"posts-{share}.jsonl"
        path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
        return path

    def _run(self, source: Path, cache: str, precision: str) -> RepostsRun:
        folder = self._folder / f"run-{next(self._numbers)}"
        folder.mkdir()
        out = folder / "records.jsonl"
        settings: dict[str, Any] = {
            "source": str(source),
            "to": str(out),
            "dead_letters": str(folder / "dead.jsonl"),
            "fetch_folder": "/",
            "follow": False,
            "cache": cache,
            "precision": precision,
            "health_port": 0,
            "log_level": "error",
        }
        prepare_recovery(folder / "recovery")
        run_job(Job(_FLOW, settings, folder / "recovery", _SNAPSHOT_SECONDS), lambda _: None, _say)
        rows = [orjson.loads(line) for line in out.read_bytes().splitlines()]
        if len(rows) != self._posts + _WARM:
            raise WorldError(f"{self._posts + _WARM} posts went in and {len(rows)} came out: the run is invalid")
        done = {row["global_id"]: datetime.fromisoformat(row["joined_time"]).timestamp() for row in rows}
        begun = max(done[f"{number}-bench"] for number in range(_WARM))
        seconds = max(done.values()) - begun
        _say(f"{source.stem}, cache {cache}, {precision}: {seconds:.1f} s")
        return RepostsRun(seconds, sum(row["cache"] is not None for row in rows))


def _images(folder: Path) -> list[Path]:
    found = sorted(it.resolve() for it in folder.rglob("*") if it.suffix.lower() in _ENDINGS)
    Random(0).shuffle(found)  # noqa: S311 - an order, not a secret
    return found


def _drawn(folder: Path, least: int) -> list[Path]:
    """Generate memes of the demo, with as many random seeds as it takes to have `least` images."""
    # Imported late: drawing needs packages of the extra.
    from memewax.demo.posts import make_posts
    from memewax.demo.truth import load_truth

    found: list[Path] = []
    for seed in count():
        if len(found) >= least:
            return found
        made = folder / f"drawn-{seed}"
        make_posts(made, seed=seed)
        whole = load_truth(made).posts
        found += [it for it in _images(made / "images") if it.name.partition(".")[0] in whole]
    raise AssertionError("there is always another seed")


def _say(line: str) -> None:
    print(f"memewax: {line}", file=sys.stderr)
