"""What is deleted, in any order and with restarts, is in no state of the clusterer, nor in its files."""

import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.remnants import LookedFor
from core.records import Removal, StageResult
from core.row_log import blank_unwanted
from models.clusterers.verified import VerifiedClusterer
from models.fingerprint import fingerprint
from operators import cluster_logic
from operators.cluster_logic import ClusterLogic
from tests.factories import message
from tests.models.clusterers.test_verified import stream

POSTS = [f"post-number-{number:04d}-a" for number in range(6)]
STEPS = st.lists(
    st.tuples(st.sampled_from(("post", "post", "delete", "url", "author", "restart")), st.integers(0, len(POSTS) - 1)),
    min_size=3,
    max_size=20,
)


def author_of(number: int) -> str:
    return f"author-number-{number % 3}"


def url_of(number: int) -> str:
    return f"https://images.example/{number % 4}.png"


def side(number: int) -> StageResult[np.ndarray]:
    """An embedding; posts are copies of each other, two and two."""
    image = np.random.default_rng(number // 2).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    vector = np.random.default_rng(number // 2).normal(size=8).astype(np.float32)
    return StageResult(
        POSTS[number],
        "embedding",
        vector,
        fingerprint=fingerprint(image),
        author=f"{author_of(number)}@a",
        url=url_of(number),
        post_id=POSTS[number],
    )


def left(folder: Path, logic: ClusterLogic, gone: set[int]) -> set[int]:
    """Posts that are gone, and that a state or a file still names."""
    state = logic.snapshot()
    for mark in (state["duplicates"].get("log"), state["clusterer"]["log"]):
        if mark is not None:
            blank_unwanted(folder, mark)
    files = list(folder.rglob("*.rows"))
    names = {number: LookedFor((POSTS[number],)) for number in gone}
    return {it for it in gone if names[it].in_value(state) or any(names[it].in_file(file) for file in files)}


def done(folder: Path, steps: list[tuple[str, int]]) -> set[int]:
    """Do steps; gives what is left of posts that are gone."""
    logic, gone = ClusterLogic(VerifiedClusterer(), log_folder=folder), set[int]()
    for what, number in steps:
        if what == "post":
            logic.on_batch([side(number)])
        elif what == "restart":
            state = pickle.loads(pickle.dumps(logic.snapshot()))
            logic = ClusterLogic(VerifiedClusterer(), state, log_folder=folder)
        elif what == "delete":
            logic.on_batch([Removal(message({}), post_id=POSTS[number])])
            gone.add(number)
        elif what == "url":
            logic.on_batch([Removal(message({}), url=url_of(number))])
            gone |= set(range(number % 4, len(POSTS), 4))
        else:
            logic.on_batch([Removal(message({}), author=author_of(number), source="a")])
            gone |= set(range(number % 3, len(POSTS), 3))
    return left(folder, logic, gone)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_no_state_and_no_file_names_what_is_gone(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        assert done(Path(name), steps) == set()


@pytest.mark.parametrize(
    "gone", [Removal(message({}), author="author 3", source="a"), Removal(message({}), url="3.png")]
)
def test_posts_that_are_no_exemplars_are_forgotten_with_their_account_or_address(tmp_path: Path, gone: Removal) -> None:
    logic = ClusterLogic(VerifiedClusterer(), log_folder=tmp_path)
    items = [(vector, it.patches, it.author, it.url) for vector, it, _ in stream(3, 8, 60)]
    items += [(*items[number][:2], f"author {number % 7}", f"{number % 5}.png") for number in range(20)]  # reposts
    named = [(f"post-number-{number:04d}-a", *it) for number, it in enumerate(items)]
    logic.on_batch(
        [
            StageResult(name, "embedding", vector, patches=patches, author=f"{author}@a", url=url)
            for name, vector, patches, author, url in named
        ]
    )
    theirs = LookedFor(tuple(it[0] for it in named if it[3] == gone.author or it[4] == gone.url))
    assert theirs.in_value(logic.snapshot())
    logic.on_batch([gone])
    assert not theirs.in_value(logic.snapshot())


@pytest.mark.parametrize("leak", ["forget_originals", "forget"])
def test_a_leak_that_is_planted_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leak: str) -> None:
    monkeypatch.setattr(cluster_logic, leak, lambda *_: None)
    assert done(tmp_path, [("post", 0), ("post", 1), ("delete", 0)]) == {0}
