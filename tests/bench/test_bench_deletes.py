"""What deletes cost is measured on rows that are there and that are not, and their room returns."""

from tests.commands.typed import Memewax


def test_the_command_reports(memewax: Memewax) -> None:
    options = ("--posts", "1000", "--rate", "100", "--seconds", "3", "--json")
    report = memewax("bench", "deletes", *options).summary()
    assert (report["posts"], report["deletes_per_second"], report["seconds"]) == (1000, 100, 3)
    assert report["mb_erased"] < report["mb_before"]
    assert report["store_worst_ms"] >= report["store_ms"] > 0
