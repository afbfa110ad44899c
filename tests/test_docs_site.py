"""The documentation site builds without a warning: each link leads somewhere, each page is in the contents."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    options = ["-q", "-W", "--keep-going", "-b", "html", "-c", "docs", "-d", str(folder / "trees")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ".", str(folder / "html")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("docs/index.html", "online cluster"),
        ("docs/reference/api.html", "open_store"),
        ("docs/reference/settings.html", "MEMEWAX_FETCH_AHEAD_POSTS"),
        ("docs/reference/commands.html", "dead-letters"),
        ("docs/glossary.html", "Hamming"),
    ],
)
def test_a_page_has_what_it_is_for(site: Path, page: str, text: str) -> None:
    assert text in (site / page).read_text()
