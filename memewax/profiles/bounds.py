"""What bounds a flow, by its profile, and which setting to try: one paragraph."""

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
    """Where the time of all workers went, as parts of it."""

    waiting: float
    computing: float
    """In steps and sources, threads of libraries included."""
    locked: float
    queued: float
    elsewhere: float
    """On disks and brokers."""
    engine: float
    """Bytewax, and the code around the steps."""


def shares_of(profiles: Sequence[ProcessProfile]) -> Shares:
    """The shares of all processes together."""
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
    """What bounds the flow, and which setting to try."""
    shares = shares_of(profiles)
    if not any(it.posts for it in profiles) and shares.waiting > _FULL:
        return "Nothing was read meanwhile: the flow waits for posts, and nothing of it bounds them."
    if shares.waiting > _MOST:
        return _by_input(profiles, shares)
    if shares.queued > _MUCH:
        told = f"The flow is bounded by processors: for {shares.queued:.0%} of the time a worker found none free. "
        if _used(profiles) < _FULL * profiles[0].cores:
            return told + (
                f"It used {_used(profiles):.1f} of {profiles[0].cores}, so other programs took the rest: run it where "
                "fewer run."
            )
        return told + "Try fewer MEMEWAX_PROCESSES or MEMEWAX_THREADS, since they are in each other's way."
    if shares.locked > _MUCH:
        return (
            f"The flow is bounded by Python's lock: for {shares.locked:.0%} of the time a worker waited for other "
            "threads of its process. Try more MEMEWAX_PROCESSES, each with a lock of its own."
        )
    return _by_section(profiles, shares)


def _by_input(profiles: Sequence[ProcessProfile], shares: Shares) -> str:
    told = f"The flow is bounded by its input: workers waited for it for {shares.waiting:.0%} of the time. "
    if any(it.left for it in profiles):
        return told + (
            "There is more to read, so images come too slowly: try more MEMEWAX_FETCH_CONCURRENCY and "
            "MEMEWAX_FETCH_PER_HOST, or more MEMEWAX_FETCH_AHEAD_POSTS."
        )
    return told + "All that there is has been read, so it keeps up, and no setting is needed."


def _by_section(profiles: Sequence[ProcessProfile], shares: Shares) -> str:
    steps = [it for it in all_sections(profiles) if it.section not in OWN or it.section == SNAPSHOT]
    first = max(steps, key=lambda it: it.seconds, default=None)
    whole = sum(it.seconds for it in all_sections(profiles)) or 1.0
    if first is None or shares.engine > first.seconds / whole:
        return (
            f"The flow is bounded by itself: Bytewax and the code around the steps take {shares.engine:.0%} of the "
            f"time, more than any step. Try {_BATCHES}."
        )
    told = f"The flow is bounded by {first.section}, which takes {first.seconds / whole:.0%} of the time"
    per_item = 1000 * first.seconds / first.items if first.items else None
    told += f", {per_item:,.1f} ms an item. " if per_item is not None else ". "
    advice = [_SETTINGS[first.section]] if first.section in _SETTINGS else []
    if first.section in _MODELS and _is_small(first):
        advice.append(_BATCHES)
    if _used(profiles) < _FULL * profiles[0].cores and first.section not in {"cluster", "store", SNAPSHOT}:
        told += f"Of {profiles[0].cores} processors {_used(profiles):.1f} were used. "
        advice.insert(0, "more MEMEWAX_PROCESSES")
    return told + (f"Try {'; or '.join(advice)}." if advice else "No setting makes it cheaper.")


def _used(profiles: Sequence[ProcessProfile]) -> float:
    """Processors that the processes used, on average."""
    return sum(it.processor_seconds for it in profiles) / (max(it.seconds for it in profiles) or 1.0)


def _is_small(section: SectionProfile) -> bool:
    return section.batches > 0 and section.items / section.batches < _SMALL_BATCH


def all_sections(profiles: Sequence[ProcessProfile]) -> list[SectionProfile]:
    """Each section of all processes as one, the longest first."""
    found: dict[str, list[SectionProfile]] = {}
    for it in (section for profile in profiles for section in profile.sections):
        found.setdefault(it.section, []).append(it)
    return sorted(map(merged, found.values()), key=lambda it: -it.seconds)
