"""Without the servers that tests use, the summary says which are missing."""

import os
import subprocess
import sys
from pathlib import Path

from tests.folders import ROOT

NEEDS_A_BROWSER = "tests/evaluation/test_pages.py"


def test_the_summary_names_what_is_missing_and_why_a_test_was_skipped(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", NEEDS_A_BROWSER]
    environment = {name: it for name, it in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PATH"] = str(tmp_path)
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
    assert f"{NEEDS_A_BROWSER}:" in found.stdout.partition("SKIPPED")[2]
    assert "no chromium on the PATH" in found.stdout
    for name in ("Apache Kafka", "Apache Cassandra", "chromium", "promtool", "kubectl", "openssl"):
        assert f"MISSING {name} (" in found.stdout, name
