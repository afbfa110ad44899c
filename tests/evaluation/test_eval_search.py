"""Recall of searches by words: a search that is perfect has it, one that finds nothing has none."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from core.errors import WorldError
from memewax.evaluation.eval_search import WAYS, _misspelt, left_out, measure, words_of

TEXTS = {f"{number}-a": f"alpha{number} beta gamma{number % 7} delta don't{number}" for number in range(80)}
THERE = {id_: words_of(text) for id_, text in TEXTS.items() if not left_out(id_)}


def perfect(text: str) -> tuple[Mapping[str, Sequence[str]], bool]:
    ids = [id_ for id_, words in THERE.items() if set(text.split()) <= set(words)]
    return dict.fromkeys(WAYS, ids), bool(ids)


def nothing(_: str) -> tuple[Mapping[str, Sequence[str]], bool]:
    return dict.fromkeys(WAYS, ()), False


def test_a_perfect_search_finds_all_and_nothing_where_there_is_nothing() -> None:
    figures = {name: it.value for name, it in measure(TEXTS, perfect, {}).figures.items()}
    assert figures["fused.recall_at_1"] == figures["words_4_5.literal.mrr"] == 1.0
    assert figures["nothing_found.right"] == 1.0
    assert figures["nothing_found.wrong"] == 0.0
    assert figures["misspelt.fused.recall_at_5"] < 1.0


def test_one_that_finds_nothing_has_no_recall() -> None:
    report = measure(TEXTS, nothing, {})
    figures = {name: it.value for name, it in report.figures.items()}
    assert {figures[f"{way}.{it}"] for way in WAYS for it in ("recall_at_1", "recall_at_5", "mrr")} == {0.0}
    assert (figures["nothing_found.right"], figures["nothing_found.wrong"]) == (1.0, 1.0)
    assert report.to_dict()["search"]["nothing_found"]["right"] == 1.0


def test_too_few_texts_are_said() -> None:
    with pytest.raises(WorldError, match="too few"):
        measure({"1-a": "one"}, nothing, {})


def test_a_misspelt_word_is_another_one_with_the_same_first_letter() -> None:
    random = np.random.default_rng(1)
    for _ in range(50):
        wrong = _misspelt("monday", random)
        assert wrong[0] == "m"
        assert abs(len(wrong) - 6) <= 1
