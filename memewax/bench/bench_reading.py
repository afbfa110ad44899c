"""`memewax bench reading`: speed of reading a dump as posts, alone and in the flow, and of skipping to a position."""

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from memewax.bench.machine import machine

_BATCH: Final = 256
_SEED: Final = 7
_SNAPSHOT_SECONDS: Final = 10.0


def reading(
    rows: Annotated[int, typer.Option("--rows", "-n", min=1000, help="Number of rows of the dump.")] = 200_000,
    with_flow: Annotated[bool, typer.Option("--flow/--no-flow", help="Also run the whole flow on it.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Generate a compressed Reddit dump; read and parse it, skip to its end, and run the flow with fake models."""
    with tempfile.TemporaryDirectory(prefix="memewax-bench-") as name:
        dump = Path(name) / "RS_2026-01.zst"
        unpacked = make_dump(dump, rows)
        mapped, read = read_dump(dump, parse=False), read_dump(dump, parse=True)
        seconds, cpu = pass_over(dump, read.rows)
        report: dict[str, Any] = {
            "rows": read.rows,
            "posts": read.posts,
            "unpacked_mb": round(unpacked / 1e6, 1),
            "packed_mb": round(dump.stat().st_size / 1e6, 1),
            "rows_mapped_per_second": round(mapped.rows / mapped.seconds),
            "rows_mapped_per_cpu_second": round(mapped.rows / mapped.cpu_seconds),
            "rows_parsed_per_second": round(read.rows / read.seconds),
            "rows_parsed_per_cpu_second": round(read.rows / read.cpu_seconds),
            "seconds_per_gb_passed_over": round(seconds / (unpacked / 1e9), 2),
            "cpu_seconds_per_gb_passed_over": round(cpu / (unpacked / 1e9), 2),
        }
        if with_flow:
            report["flow_posts_per_second"] = round(_through_the_flow(dump, Path(name)))
    report["machine"] = machine()
    sys.stdout.write(orjson.dumps(report, option=0 if as_json else orjson.OPT_INDENT_2).decode() + "\n")


def make_dump(path: Path, rows: int) -> int:
    """Write a zstd dump of synthetic posts, with about as many fields as real ones; return its uncompressed bytes."""
    from backports import zstd

    options: dict[int, int] = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.compression_level: 3,
    }
    size = 0
    with zstd.open(path, "wb", options=options) as out:
        for row in made_rows(rows):
            line = orjson.dumps(row) + b"\n"
            size += len(line)
            out.write(line)
    return size


def made_rows(count: int) -> Iterator[dict[str, Any]]:
    """Yield Reddit submissions: 60 percent with images, the others texts, videos, links and removed ones."""
    chance = random.Random(_SEED)  # noqa: S311
    flags = dict.fromkeys(
        (
            "archived", "can_gild", "contest_mode", "hidden", "hide_score", "is_crosspostable", "is_meta", "locked",
            "is_original_content", "is_reddit_media_domain", "is_robot_indexable", "media_only", "no_follow", "pinned",
            "quarantine", "send_replies", "stickied", "author_premium", "author_patreon_flair", "can_mod_post",
        ),
        False,
    )  # fmt: skip
    nothing = dict.fromkeys(
        (
            "approved_at_utc", "approved_by", "author_flair_text", "banned_at_utc", "category", "content_categories",
            "discussion_type", "distinguished", "likes", "link_flair_css_class", "media", "mod_note", "num_reports",
            "removal_reason", "report_reasons", "secure_media", "suggested_sort", "view_count", "wls", "pwls",
        ),
        None,
    )  # fmt: skip
    for number in range(count):
        kind = chance.random()
        name = f"{number:07x}"
        row: dict[str, Any] = {
            **flags,
            **nothing,
            "id": name,
            "name": f"t3_{name}",
            "author": f"user{number % 9973}",
            "author_fullname": f"t2_{number % 9973:x}",
            "created_utc": 1_767_225_600 + number // 8,
            "retrieved_on": 1_767_312_000 + number // 8,
            "title": "a title of some ordinary length, as people write them: " + "word " * chance.randrange(8),
            "selftext": "",
            "subreddit": f"memes{number % 50}",
            "subreddit_id": "t5_2qjpg",
            "subreddit_name_prefixed": f"r/memes{number % 50}",
            "permalink": f"/r/memes{number % 50}/comments/{name}/a_title/",
            "domain": "i.redd.it",
            "score": chance.randrange(5000),
            "num_comments": chance.randrange(200),
            "upvote_ratio": 0.97,
            "over_18": kind < 0.05,
            "spoiler": False,
            "is_self": False,
            "is_video": False,
            "gildings": {},
            "all_awardings": [],
            "link_flair_richtext": [],
            "author_flair_richtext": [],
            "treatment_tags": [],
        }
        if kind < 0.54:
            row |= {
                "url": f"https://i.redd.it/{name}.jpg",
                "post_hint": "image",
                "preview": {"enabled": True, "images": [_preview(name)]},
            }
        elif kind < 0.6:
            media = [f"{name}{place}" for place in range(1, 4)]
            row |= {
                "url": f"https://www.reddit.com/gallery/{name}",
                "domain": "reddit.com",
                "is_gallery": True,
                "gallery_data": {"items": [{"media_id": it, "id": 1} for it in media]},
                "media_metadata": {it: _media(it) for it in media},
            }
        elif kind < 0.85:
            row |= {"url": f"https://www.reddit.com{row['permalink']}", "is_self": True, "selftext": "words " * 40}
        elif kind < 0.92:
            row |= {"url": f"https://v.redd.it/{name}", "domain": "v.redd.it", "is_video": True}
        else:
            row |= {"url": f"https://example.org/{name}", "domain": "example.org", "removed_by_category": "moderator"}
        yield row


def _preview(name: str) -> dict[str, Any]:
    sizes = [
        {"url": f"https://preview.redd.it/{name}.jpg?width={it}&amp;s=abc", "width": it, "height": it}
        for it in (108, 216, 320, 640)
    ]
    return {
        "source": {"url": f"https://preview.redd.it/{name}.jpg?s=abc", "width": 900, "height": 900},
        "resolutions": sizes,
    }


def _media(name: str) -> dict[str, Any]:
    sizes = [
        {"u": f"https://preview.redd.it/{name}.jpg?width={it}&amp;s=abc", "x": it, "y": it} for it in (108, 216, 320)
    ]
    return {
        "status": "valid", "e": "Image", "m": "image/jpg", "id": name, "p": sizes,
        "s": {"u": f"https://preview.redd.it/{name}.jpg?width=900&amp;s=abc", "x": 900, "y": 900},
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class DumpRead:
    """Time that reading a dump took."""

    rows: int
    posts: int
    """Number of posts; a gallery gives one per image."""
    seconds: float
    cpu_seconds: float


def read_dump(path: Path, *, parse: bool) -> DumpRead:
    """Read a whole dump and map its rows to posts; with `parse` also parse these, up to where a flow fetches images."""
    from connectors.sources.parse import parsed

    reader = _opened(path, None)
    start, cpu = time.perf_counter(), time.process_time()
    posts = rows = 0
    while not reader.ended:
        batch = reader.read()
        if batch is not None:
            posts += len(batch.messages)
            rows = batch.resume["rows"]
            if parse:
                for it in batch.messages:
                    parsed(it)
    found = DumpRead(rows, posts, time.perf_counter() - start, time.process_time() - cpu)
    reader.close()
    return found


def pass_over(path: Path, rows: int) -> tuple[float, float]:
    """Return the seconds and CPU seconds in which a reader resumes at the end: it skips all rows again."""
    position = _opened(path, None)
    first = position.read()
    position.close()
    assert first is not None, "a generated dump has rows"
    reader = _opened(path, {**first.resume, "rows": rows})
    start, cpu = time.perf_counter(), time.process_time()
    while not reader.ended:
        reader.read()
    found = time.perf_counter() - start, time.process_time() - cpu
    reader.close()
    return found


def _opened(path: Path, resume: Any) -> Any:
    """Open the reader of a file's posts directly, without the layers that combine several sources."""
    from connectors.endpoints import POSTS_FROM, endpoint
    from dataflows.all_settings import Settings

    settings = Settings(source=(str(path),), read_batch=_BATCH)
    found = endpoint(str(path), POSTS_FROM)
    (place,) = found.source(settings.options_of(found), settings).places()
    return place.open(0, resume, ())


def _through_the_flow(dump: Path, folder: Path) -> float:
    """Run the flow with fake models; return its records per second, from the first to the last."""
    from memewax.commands.recovery import prepare_recovery
    from memewax.commands.supervise import Job, run_job

    out = folder / "records.jsonl"
    settings = {
        "models": "fake", "log_level": "error", "source": str(dump), "to": str(out), "follow": False,
        "dead_letters": str(folder / "dead.jsonl"), "read_batch": _BATCH,
    }  # fmt: skip
    prepare_recovery(folder / "recovery")
    run_job(Job("memes", settings, folder / "recovery", _SNAPSHOT_SECONDS), lambda _: None, _log)
    with out.open("rb") as lines:
        times = [datetime.fromisoformat(orjson.loads(line)["joined_time"]) for line in lines]
    return len(times) / (times[-1] - times[0]).total_seconds()


def _log(line: str) -> None:
    print(line, file=sys.stderr)
