"""When KEDA starts the Job that rescales: its queries, as Prometheus answers them."""

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.kubernetes.manifests import needs_kubectl, of_kind, overlay

pytestmark = [
    needs_kubectl,
    pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: what KEDA asks for is not tried"),
]
_HOURS: Final = 3

# Of each of two processes, a minute after another: what is left to read, and posts that were read.
FALLS_BEHIND: Final = ("0+300x180", "0+60x180")
KEEPS_UP: Final = ("500+0x180", "0+600x180")
WORKS_OFF: Final = ("90000-300x180", "0+600x180")
STANDS: Final = ("0+60x180", "7+0x180")
IDLES: Final = ("0+0x180", "0+60x180")
IS_BUSY_NOW_AND_THEN: Final = ("0+0x100 400+0x10 0+0x70", "0+60x180")


@pytest.mark.parametrize(
    ("lag", "posts", "more", "fewer"),
    [
        (*FALLS_BEHIND, True, False),
        (*KEEPS_UP, False, False),
        (*WORKS_OFF, False, False),
        (*STANDS, True, False),
        (*IDLES, False, True),
        (*IS_BUSY_NOW_AND_THEN, False, False),
    ],
    ids=["falls behind", "keeps up", "works off", "stands", "idles", "is busy now and then"],
)
def test_it_is_started_when_it_should_be(tmp_path: Path, lag: str, posts: str, *, more: bool, fewer: bool) -> None:
    series = [
        {"series": f'{name}{{pod="memes-{number}"}}', "values": values}
        for number in range(2)
        for name, values in (("memewax_source_lag", lag), ("memewax_posts_total", posts))
    ]
    for name, starts in (("memes-more", more), ("memes-fewer", fewer)):
        (trigger,) = of_kind(overlay("keda"), "ScaledJob")[name]["spec"]["triggers"]
        answers = _answers(tmp_path, trigger["metadata"]["query"], series)
        assert (answers >= float(trigger["metadata"]["threshold"])) == starts


def _answers(folder: Path, query: str, series: list[dict[str, Any]]) -> float:
    """What the query gives at the end; nothing is 0, as KEDA takes it."""
    for wanted in (0.0, 1.0):
        samples = {"expr": f"({query}) or vector(0)", "eval_time": f"{_HOURS}h", "exp_samples": [{"value": wanted}]}
        tested = {"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [samples]}]}
        (folder / "test.yml").write_text(yaml.safe_dump(tested))
        done = subprocess.run(["promtool", "test", "rules", str(folder / "test.yml")], capture_output=True, check=False)
        if done.returncode == 0:
            return wanted
    raise AssertionError(done.stdout + done.stderr)
