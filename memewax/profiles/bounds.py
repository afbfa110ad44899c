"""Bottleneck analysis: which resource bounds a flow, by its profile, and which setting to try."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.profiled import ENGINE, OWN, WAITING, ProcessProfile, SectionProfile, merged
from core.sections import FLOW, SNAPSHOT
from models.stages import MODEL_STAGES

_SETTINGS: Final = {
    "embedding": "MEMEWAX_VIT (a smaller image model) or MEMEWAX_DEVICE=cuda",
    "text": "MEMEWAX_OCR_CANVAS (a smaller one: its time grows with the square) or MEMEWAX_DEVICE=cuda",
    "entities": "MEMEWAX_NER (a smaller finder of names)",
    "sentiment": "MEMEWAX_SENTIMENT=vader",
    "text_embedding": "MEMEWAX_TEXT_MODEL (a smaller sentence model) or MEMEWAX_TEXT_ENGINE",
    "cluster": "MEMEWAX_CLUSTER_SHARDS, which is fixed for the life of a recovery folder",
    "store": "--snapshot-interval (a longer one: rows are written before each snapshot)",
    SNAPSHOT: "--snapshot-interval (a longer one)",
}
_BATCHES: Final = "MEMEWAX_READ_BATCH and MEMEWAX_FILE_BLOCK_BYTES (larger: each batch has a cost of its own)"
_MODELS: Final = frozenset(it.name for it in MODEL_STAGES)
_MUCH: Final = 0.15
_MOST: Final = 0.4
_FULL: Final = 0.85
_SMALL_BATCH: Final = 4


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of the workers' time, 0 to 1 each."""

    waiting: float
    """Waiting for input."""
    computing: float
    """Computing in steps and sources, library threads included."""
    locked: float
    """Waiting for Python's global interpreter lock."""
    queued: float
    """Waiting for a free processor."""
    elsewhere: float
    """Waiting for disks and brokers."""
    engine: float
    """Bytewax, and the code around the steps."""


def shares_of(profiles: Sequence[ProcessProfile]) -> Shares:
    """Compute the shares over all processes."""
    sections = [it for profile in profiles for it in profile.sections]
    whole = sum(it.seconds for it in sections) or 1.0
    around = [it for it in sections if it.section in {ENGINE, FLOW}]
    inside = [it for it in sections if it.section not in {ENGINE, FLOW, WAITING}]
    in_models = sum(it.elsewhere for it in inside if it.section in _MODELS)
    return Shares(
        waiting=sum(it.seconds for it in sections if it.section == WAITING) / whole,
        computing=(sum(it.computing for it in inside) + in_models) / whole,
        locked=sum(it.locked for it in sections) / whole,
        queued=sum(it.queued for it in sections) / whole,
        elsewhere=(sum(it.elsewhere for it in [*inside, *around]) - in_models) / whole,
        engine=sum(it.computing for it in around) / whole,
    )


def what_bounds(profiles: Sequence[ProcessProfile]) -> str:
    """Describe what bounds the flow and which setting to try, in one paragraph."""
    shares = shares_of(profiles)
    if not any(it.posts for it in profiles) and shares.waiting > _FULL:
        return "Nothing was read during the profile: the flow waits for posts and is not the bottleneck."
    if shares.waiting > _MOST:
        return _by_input(profiles, shares)
    if shares.queued > _MUCH:
        text = f"The flow is bounded by processors: for {shares.queued:.0%} of the time a worker found none free. "
        if _used(profiles) < _FULL * profiles[0].cores:
            return text + (
                f"It used {_used(profiles):.1f} of {profiles[0].cores}, so other programs used the rest: run it on a "
                "less busy machine."
            )
        return text + "Try fewer MEMEWAX_PROCESSES or MEMEWAX_THREADS, since they compete with each other."
    if shares.locked > _MUCH:
        return (
            f"The flow is bounded by Python's lock: for {shares.locked:.0%} of the time a worker waited for other "
            "threads of its process. Try more MEMEWAX_PROCESSES, each with a lock of its own."
        )
    return _by_section(profiles, shares)


def _by_input(profiles: Sequence[ProcessProfile], shares: Shares) -> str:
    text = f"The flow is bounded by its input: workers waited for it for {shares.waiting:.0%} of the time. "
    if any(it.left for it in profiles):
        return text + (
            "There is more to read, so images come too slowly: try more MEMEWAX_FETCH_CONCURRENCY and "
            "MEMEWAX_FETCH_PER_HOST, or more MEMEWAX_FETCH_AHEAD_POSTS."
        )
    return text + "All posts have been read, so it keeps up, and no setting is needed."


def _by_section(profiles: Sequence[ProcessProfile], shares: Shares) -> str:
    steps = [it for it in all_sections(profiles) if it.section not in OWN or it.section == SNAPSHOT]
    first = max(steps, key=lambda it: it.seconds, default=None)
    whole = sum(it.seconds for it in all_sections(profiles)) or 1.0
    if first is None or shares.engine > first.seconds / whole:
        return (
            f"The flow is bounded by itself: Bytewax and the code around the steps take {shares.engine:.0%} of the "
            f"time, more than any step. Try {_BATCHES}."
        )
    text = f"The flow is bounded by {first.section}, which takes {first.seconds / whole:.0%} of the time"
    per_item = 1000 * first.seconds / first.items if first.items else None
    text += f", {per_item:,.1f} ms an item. " if per_item is not None else ". "
    advice = [_SETTINGS[first.section]] if first.section in _SETTINGS else []
    if first.section in _MODELS and _is_small(first):
        advice.append(_BATCHES)
    if _used(profiles) < _FULL * profiles[0].cores and first.section not in {"cluster", "store", SNAPSHOT}:
        text += f"Of {profiles[0].cores} processors {_used(profiles):.1f} were used. "
        advice.insert(0, "more MEMEWAX_PROCESSES")
    return text + (f"Try {'; or '.join(advice)}." if advice else "No setting makes it cheaper.")


def _used(profiles: Sequence[ProcessProfile]) -> float:
    """Return the mean number of processors that the processes used."""
    return sum(it.processor_seconds for it in profiles) / (max(it.seconds for it in profiles) or 1.0)


def _is_small(section: SectionProfile) -> bool:
    return section.batches > 0 and section.items / section.batches < _SMALL_BATCH


def all_sections(profiles: Sequence[ProcessProfile]) -> list[SectionProfile]:
    """Merge the sections of all processes by name; return them longest first."""
    found: dict[str, list[SectionProfile]] = {}
    for it in (section for profile in profiles for section in profile.sections):
        found.setdefault(it.section, []).append(it)
    return sorted(map(merged, found.values()), key=lambda it: -it.seconds)
