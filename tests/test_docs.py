"""What the documents tell people to type exists."""

import re
import shlex
from itertools import pairwise

import pytest
import typer
from typer.core import TyperGroup

from connectors.endpoints import ANSWERS_TO, POSTS_FROM, POSTS_TO, QUERIES_FROM, RECORDS_TO, AddressRole, endpoint
from core.settings import PREFIX
from dataflows.all_settings import Settings
from memewax.commands.app import app
from tests.folders import ROOT

DOCUMENTS = [
    *sorted(
        str(path.relative_to(ROOT))
        for path in [*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("nifi/*.md"), *ROOT.glob("k8s/**/*")]
        if path.is_file()
    ),
]
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def commands(document: str) -> list[list[str]]:
    """Each `memewax …` in the shell blocks of a document, as its words."""
    blocks = BLOCK.findall((ROOT / document).read_text())
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = []
    for line in lines:
        words = shlex.split(line, comments=True)
        while words and "=" in words[0]:  # variables before the command
            words.pop(0)
        if words and words[0].removeprefix(".venv/bin/") == "memewax":
            found.append(words[1:])
    return found


def parse(words: list[str]) -> None:
    """Let the command parse its words, without running it; raises as it would."""
    name, command, rest = "memewax", typer.main.get_command(app), list(words)
    while isinstance(command, TyperGroup):
        name, found, rest = command.resolve_command(command.context_class(command), rest)
        assert found is not None
        command = found
    command.make_context(name, rest)


ALL = [(document, words) for document in DOCUMENTS if document.endswith(".md") for words in commands(document)]


@pytest.mark.parametrize(("document", "words"), ALL, ids=[" ".join(words) for _, words in ALL])
def test_a_command_in_a_document_parses(document: str, words: list[str]) -> None:
    parse(words)


def addresses(words: list[str]) -> list[tuple[str, AddressRole]]:
    """What a command reads and writes, with its role."""
    roles = {
        "run": {"--from": POSTS_FROM, "--to": RECORDS_TO},
        "ingest": {"--to": POSTS_TO},
        "serve": {"--from": QUERIES_FROM, "--to": ANSWERS_TO},
    }.get(words[0], {})
    return [(after, roles[word]) for word, after in pairwise(words) if word in roles]


def test_addresses_in_documents_are_known() -> None:
    named = [it for _, words in ALL for it in addresses(words)]
    assert len(named) > 10
    for address, role in named:
        endpoint(address, role)


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse(["run", "--nonsense"])
    with pytest.raises(Exception, match="No such command"):
        parse(["nonsense"])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_settings_in_a_document_exist(document: str) -> None:
    named = set(re.findall(rf"{PREFIX}([A-Z_]+[A-Z])", (ROOT / document).read_text()))
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_the_readme_s_first_screen_has_the_two_commands() -> None:
    first = "\n".join((ROOT / "README.md").read_text().splitlines()[:30])
    assert "python3 -m venv .venv && .venv/bin/pip install -q rust-just && .venv/bin/just demo" in first
    assert "\n.venv/bin/just test\n" in first


def test_files_that_documents_link_to_exist() -> None:
    for document in (name for name in DOCUMENTS if name.endswith(".md")):
        for target in re.findall(r"\]\(([^)#]+)", (ROOT / document).read_text()):
            assert "://" in target or (ROOT / document).parent.joinpath(target).exists(), f"{document}: {target}"


NAMED_TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")


def test_each_guarantee_names_a_test_that_exists() -> None:
    rows = [it for it in (ROOT / "docs/guarantees.md").read_text().splitlines() if it.startswith("|")]
    promises = [it for it in rows if not it.startswith("|---") and not it.endswith("| test |")]
    assert len(promises) > 40
    for promise in promises:
        named = NAMED_TEST.findall(promise.rpartition(" | ")[2])
        assert named, promise
        for path, name in named:
            assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"
