"""What a profile is said to mean."""

from typing import Any

import pytest

from core.profiled import ENGINE, WAITING, BatchSize, ProcessProfile, SectionProfile
from memewax.profiles.bounds import all_sections, shares_of, what_bounds


def section(name: str, items: int = 0, a_batch: int = 8, **parts: float) -> SectionProfile:
    every = {"computing": 0.0, "locked": 0.0, "queued": 0.0, "elsewhere": 0.0, **parts}
    size = BatchSize(least=a_batch, most=a_batch, batches=items // a_batch, items=items, seconds=sum(every.values()))
    return SectionProfile(section=name, seconds=sum(every.values()), sizes=(size,) if items else (), **every)


def profile(*sections: SectionProfile, **others: Any) -> ProcessProfile:
    told = {"flow": "memes", "process": 0, "pid": 1, "workers": 1, "cores": 2, "knows_lock": True, "posts": 100}
    told |= {"seconds": sum(it.seconds for it in sections), "processor_seconds": 20.0, "sections": sections, **others}
    return ProcessProfile(**told)


@pytest.mark.parametrize(
    ("sections", "others", "told"),
    [
        ([section(WAITING, elsewhere=10)], {"posts": 0}, ["waits for posts"]),
        (
            [section(WAITING, elsewhere=8), section("text", computing=2)],
            {},
            ["bounded by its input", "80%", "keeps up"],
        ),
        (
            [section(WAITING, elsewhere=8), section("text", computing=2)],
            {"left": 7},
            ["bounded by its input", "MEMEWAX_FETCH_CONCURRENCY"],
        ),
        (
            [section("text", 100, computing=7, queued=3)],
            {},
            ["bounded by processors", "30%", "fewer MEMEWAX_PROCESSES"],
        ),
        (
            [section("text", 100, computing=7, queued=3)],
            {"processor_seconds": 7.0},
            ["bounded by processors", "It used 0.7 of 2", "other programs"],
        ),
        ([section("text", computing=7, locked=3)], {}, ["Python's lock", "30%", "more MEMEWAX_PROCESSES"]),
        ([section(ENGINE, computing=7), section("join", computing=3)], {}, ["by itself", "70%", "MEMEWAX_READ_BATCH"]),
        (
            [section("text", 16, computing=6, elsewhere=2), section("embedding", 16, computing=2)],
            {},
            ["bounded by text", "80%", "500.0 ms an item", "MEMEWAX_OCR_CANVAS"],
        ),
        (
            [section("text", 20, 2, computing=8), section("embedding", computing=2)],
            {"processor_seconds": 10.0},
            ["Of 2 processors 1.0 were used", "more MEMEWAX_PROCESSES", "MEMEWAX_READ_BATCH"],
        ),
        (
            [section("store", elsewhere=9), section("text", computing=1)],
            {},
            ["bounded by store", "--snapshot-interval"],
        ),
        ([section("join", computing=9), section("text", computing=1)], {}, ["bounded by join", "No setting"]),
        ([], {"seconds": 0.0}, ["by itself"]),
    ],
)
def test_it_says_what_bounds_and_what_to_try(
    sections: list[SectionProfile], others: dict[str, Any], told: list[str]
) -> None:
    said = what_bounds([profile(*sections, **others)])
    for it in told:
        assert it in said, said
    assert "\n" not in said


def test_shares_are_of_the_time_of_all_processes() -> None:
    one = profile(
        section("text", computing=1, elsewhere=3), section("write_file", elsewhere=2), section(WAITING, elsewhere=4)
    )
    other = profile(section(ENGINE, computing=5), section("join", locked=3, queued=2))
    shares = shares_of([one, other])
    assert shares.computing == pytest.approx(4 / 20)  # threads of the model's library compute
    assert (shares.elsewhere, shares.waiting) == (pytest.approx(2 / 20), pytest.approx(4 / 20))
    assert (shares.engine, shares.locked, shares.queued) == (0.25, 0.15, 0.1)


def test_sections_of_processes_are_one() -> None:
    found = all_sections([profile(section("text", 8, computing=1)), profile(section("text", 16, computing=2))])
    assert [(it.section, it.seconds, it.items, it.batches) for it in found] == [("text", 3, 24, 3)]
