"""`memewax bench reposts`: what the cache saves on a stream of which some posts show images that came before."""

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
"""Posts before those that are timed, each with an image of its own: models are slower at first."""
_SNAPSHOT_SECONDS: Final = 10.0
_ENDINGS: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif"})


@dataclass(frozen=True, slots=True)
class RepostsRun:
    """One run over a stream."""

    seconds: float
    """From the last of the first posts to the last of all."""
    known: int
    """Records of which all that models say of the image was known."""


@needs_extra("bench", "memewax bench reposts")
def reposts(
    data: Annotated[
        Path | None, typer.Option("--data", help="A folder of images; by default the demo's memes are drawn.")
    ] = None,
    posts: Annotated[int, typer.Option(min=10, help="Posts that are timed in each run.")] = 60,
    runs: Annotated[int, typer.Option(min=1, help="Runs with the cache and as many without it, in turns.")] = 2,
    share: Annotated[
        list[float] | None,
        typer.Option(min=0.0, max=0.99, help="Share of posts with an image that was there before; may be repeated."),
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="Precision of the models; may be repeated. By default exact and auto.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Speed of the whole flow with the cache against without it, by the share of reposts."""
    shares = share or list(_SHARES)
    chosen = precision or ["exact", "auto"]
    if load_settings().models == "fake":
        raise SettingsError("MEMEWAX_MODELS is fake: what the cache saves is measured with real models")
    with tempfile.TemporaryDirectory(prefix="memewax-bench-") as name:
        bench = _Bench(Path(name), posts, runs)
        images = _images(data) if data else _drawn(Path(name), posts + _WARM)
        if len(images) < posts + _WARM:
            raise SettingsError(f"{len(images)} images, and {posts} posts need {posts + _WARM}: give less --posts")
        measured = {it: {str(part): bench.measured(images, part, it) for part in shares} for it in chosen}
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

    def measured(self, images: Sequence[Path], share: float, precision: str) -> dict[str, Any]:
        """Runs with the cache and without it in turns: a machine that is slow for a while is so for both."""
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
        """A file of posts, the first of which show each an image of their own; reposts come in a random order."""
        own = max(1, round(self._posts * (1 - share)))
        shown = [*images[_WARM : _WARM + own], *(images[_WARM + it % own] for it in range(self._posts - own))]
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
        place = self._folder / f"run-{next(self._numbers)}"
        place.mkdir()
        out = place / "records.jsonl"
        settings: dict[str, Any] = {
            "source": str(source),
            "to": str(out),
            "dead_letters": str(place / "dead.jsonl"),
            "fetch_folder": "/",
            "follow": False,
            "cache": cache,
            "precision": precision,
            "health_port": 0,
            "log_level": "error",
        }
        prepare_recovery(place / "recovery")
        run_job(Job(_FLOW, settings, place / "recovery", _SNAPSHOT_SECONDS), lambda _: None, _say)
        rows = [orjson.loads(line) for line in out.read_bytes().splitlines()]
        if len(rows) != self._posts + _WARM:
            raise WorldError(f"{self._posts + _WARM} posts went in and {len(rows)} came out: this is no measurement")
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
    """The demo's memes, as often as it takes, each time drawn differently."""
    # Drawing needs packages of the extra.
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
