"""Draw the panels of the dashboard over a real run that Debian's Prometheus watched: `just panels`.

Four processes run for some minutes. Two are the real flow with models that look at pixels
(`tests/flows/pixels_flow.py`), over posts that come, faster for a while in the middle: templates and images that are
alone, garbage, images that are not there, and values that do not fit their column. One takes in a live stream that
breaks off and has gaps, and a service that is busy at times. One answers questions, some of which it cannot.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from PIL import Image

from memewax.commands.recovery import prepare_recovery
from tests.factories import image_of, make_corpus
from tests.folders import ROOT
from tests.jetstream import START, commit, jetstream
from tests.monitoring.named import Panel, panels
from tests.monitoring.prometheus import Prometheus, free_ports, prometheus
from tests.services import Fault, reddit_post, served

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter
from matplotlib.ticker import FuncFormatter

_STEP: Final = 2.0
_WINDOW: Final = "15s"
_COLUMNS: Final = 3
_MOST_LINES: Final = 14


def ready(query: str) -> str:
    """A query of the dashboard with its variables filled in."""
    return query.replace("$__rate_interval", _WINDOW).replace('job=~"$job"', 'job=~".*"')


def series(seen: Prometheus, panel: Panel, start: float, end: float) -> list[tuple[str, list[datetime], list[float]]]:
    """The lines of a panel: name, times and values."""
    found = []
    for query, legend in panel.targets:
        for it in seen.over(ready(query), start, end, _STEP):
            name = legend
            for label, value in it["metric"].items():
                name = name.replace(f"{{{{{label}}}}}", value)
            times = [datetime.fromtimestamp(at, UTC) for at, _ in it["values"]]
            values = [float(value) for _, value in it["values"]]
            if np.isfinite(values).any():
                found.append((name, times, values))
    return found


def draw(axes: Axes, panel: Panel, lines: Sequence[tuple[str, list[datetime], list[float]]]) -> None:
    for name, times, values in lines[:_MOST_LINES]:
        axes.plot(times, values, label=name, linewidth=1.1)  # type: ignore[arg-type]
    axes.set_title(panel.title, fontsize=9, loc="left", fontweight="bold")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, panel.unit)))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))
    axes.tick_params(labelsize=6)
    axes.grid(alpha=0.3)
    if lines:
        axes.legend(fontsize=5, loc="upper left", framealpha=0.6, ncols=2 if len(lines) > 6 else 1)
    else:
        axes.text(0.5, 0.5, "no data", ha="center", transform=axes.transAxes, color="grey")


def shown(value: float, unit: str) -> str:
    """A value in the unit of its panel."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if value < 1 else f"{value:,.3g} s"
    if unit in {"bytes", "Bps"}:
        size = next((f"{value / 2**power:.3g} {name}" for power, name in ((30, "GiB"), (20, "MiB"), (10, "KiB")) if value >= 2**power), f"{value:.3g} B")  # fmt: skip
        return size + ("/s" if unit == "Bps" else "")
    return f"{value:,.4g}" + ("/s" if unit == "ops" else "")


def write(path: Path, some: Sequence[Panel], seen: Prometheus, start: float, end: float) -> list[str]:
    """An image of some panels; gives the titles of those without data."""
    rows = -(-len(some) // _COLUMNS)
    figure, grid = plt.subplots(rows, _COLUMNS, figsize=(13, 2.4 * rows), squeeze=False)
    empty = []
    for axes, panel in zip(grid.flat, some, strict=False):
        lines = series(seen, panel, start, end)
        draw(axes, panel, lines)
        if not lines:
            empty.append(panel.title)
    for axes in list(grid.flat)[len(some) :]:
        axes.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)
    Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE, colors=48).save(path, optimize=True)
    return empty


def posts(folder: Path, number: int, random: np.random.Generator) -> bytes:
    """A post, its image written first; now and then what is none, or one whose image is not there."""
    if number % 23 == 11:
        return b'{"global_id": '
    name = f"{number}.png"
    template = int(random.integers(12)) if random.random() < 0.5 else 1000 + number
    if number % 17 != 5:
        (folder / name).write_bytes(image_of(template, random))
    now = datetime.now(UTC).isoformat()
    post = {"global_id": f"{number}-x", "url": name, "desc": "a caption", "ingestion_time": now}
    return json.dumps({**post, "rank": "first" if number % 40 == 7 else number}).encode()


class Run:
    """Processes of flows below a folder, each with its port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ports = free_ports(2)
        self.ports += [port + 1 for port in self.ports[:1]]
        self.ports += free_ports(1)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, flow: str, port: int, *place: str, **settings: Any) -> None:
        """Start a process, with its recovery folder in a folder of that name."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        prepare_recovery(folder / "recovery")
        usual = {"dead_letters": folder / "dead.jsonl", "health_port": port, "log_level": "error", "follow": "true"}
        own = {f"MEMEWAX_{key.upper()}": str(value) for key, value in {**usual, **settings}.items()}
        command = [sys.executable, "-m", "memewax.commands.worker", flow, str(folder / "recovery"), "5", *place]
        environment = {**os.environ, "PIXELS_SECONDS": "0.01", "RUST_BACKTRACE": "0", **own}
        self._processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL))

    def end(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(60)


def run(made: Run, folder: Path, seconds: float) -> None:
    """All of it."""
    source, queries = folder / "images" / "posts.jsonl", folder / "queries.jsonl"
    source.parent.mkdir()
    source.touch()
    queries.touch()
    make_corpus(folder / "answers" / "store", ["aa", "bb"])
    peers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    sinks = json.dumps([str(folder / "store"), str(folder / "records.jsonl")])
    first, answering, _, taking_in = made.ports
    with jetstream() as server, served() as services:
        server.plays = [lambda kept: kept[-20:]] * 6
        for number in range(2):
            made.start(
                "memes", "tests.flows.pixels_flow", first, str(number), *peers,
                source=source, to=sinks, read_batch=8, retry_wait_seconds=0, columns="rank=rank:int",
            )  # fmt: skip
        made.start(
            "taken_in", "dataflows.ingest", taking_in,
            **services.variables(), source='["bluesky:", "reddit:memes"]', to=folder / "taken_in.jsonl",
            bluesky_urls=server.url, poll_interval_seconds=1, poll_backoff_seconds=0.1,
        )  # fmt: skip
        made.start(
            "answers", "dataflows.similarity", answering,
            queries=queries, store=folder / "answers" / "store", models="fake", answer_images="false",
        )  # fmt: skip
        services.reddit["memes"] = []
        random = np.random.default_rng(7)
        start, number, turn = time.monotonic(), 0, 0
        while (spent := time.monotonic() - start) < seconds:
            busy = 0.4 < spent / seconds < 0.6
            with source.open("ab") as file:
                for _ in range(12 if busy else 3):
                    file.write(posts(source.parent, number, random) + b"\n")
                    number += 1
            with queries.open("ab") as file:
                file.write(json.dumps({"id": f"{turn}", "text": "" if turn % 9 == 4 else "bb"}).encode() + b"\n")
            server.frames.append(commit(turn, seconds=time.time() - START / 1e6 - (40 if busy else 0)))
            services.reddit["memes"].insert(0, reddit_post(turn, is_self=turn % 3 == 0))
            if busy and turn % 10 == 0:
                services.faults.append(Fault(503))
            turn += 1
            time.sleep(0.2)
        made.end()


def main(to: Path, seconds: float) -> None:
    """Run, and draw all panels."""
    to.mkdir(parents=True, exist_ok=True)
    all_panels = panels()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = Run(folder)
        with prometheus(folder / "prometheus", made.ports) as seen:
            start = time.time()
            run(made, folder, seconds)
            end = time.time()
            for part, at in enumerate(range(0, len(all_panels), 9)):
                empty = write(to / f"panels-{part + 1}.png", all_panels[at : at + 9], seen, start, end)
                print(f"panels-{part + 1}.png; without data: {', '.join(empty) or 'none'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
