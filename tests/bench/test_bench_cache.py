"""The short form of `memewax bench cache`: what is looked up is there, and the files stay within their bound."""

from tests.commands.typed import Memewax


def test_hits_and_sizes_are_told(memewax: Memewax) -> None:
    report = memewax("bench", "cache", "--keys", "20000", "--megabytes", "5", "--images", "100", "--json").summary()
    hits, many = report["hits"], report["many"]
    assert hits["images"] == 100
    assert 0 < hits["hit_ms"]["median"] <= hits["hit_ms"]["p99"] <= hits["hit_ms"]["most"]
    assert (many["keys"], many["bound_mb"], many["has_newest"]) == (20000, 5, True)
    assert 2 < many["most_mb"] < 3 * many["bound_mb"]  # with the log of what is written
