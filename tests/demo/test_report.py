import json
from dataclasses import replace
from random import Random

import pytest
from rich.console import Console

from memewax.demo import Truth, summarise, tables
from memewax.demo.report import mood, same_entity
from memewax.demo.truth import PostTruth
from tests.demo.conftest import Rows, row


def one_post(text: str = "Hello Rome", **known: object) -> Truth:
    return Truth({"a": replace(PostTruth("cat", text, mood="neutral"), **known)})


def one_row(**columns: object) -> Rows:
    return [row({"global_id": "a", "url": "a.jpg", "desc": ""}, **{"cluster": 0, **columns})]


def test_no_mistake(rows: Rows, dead_letters: Rows, truth: Truth) -> None:
    found = summarise(rows, dead_letters, truth)
    assert (found.posts.joined, found.posts.complete, found.posts.lost) == (found.posts.expected, len(rows), ())
    assert (found.ocr.character_error_rate, found.ocr.word_error_rate) == (0, 0)
    assert (found.ocr.perfect, found.ocr.textless_empty) == (found.ocr.posts, found.ocr.textless)
    assert (found.clusters.v_measure, found.clusters.clusters) == (1, len(found.clusters.templates))
    assert all(template.share == 1 for template in found.clusters.templates)
    assert found.entities.found == found.entities.labelled == found.entities.reported == found.entities.expected > 20
    assert found.moods.agreed == found.moods.expected > 40
    assert (found.dead_letters.found, found.dead_letters.missed) == (len(truth.broken), ())


def test_clusters_dealt_at_random_are_seen(rows: Rows, truth: Truth) -> None:
    random = Random(0)
    dealt = [{**it, "cluster": random.randrange(10) if it["cluster"] >= 0 else -1} for it in rows]
    clusters = summarise(dealt, [], truth).clusters
    assert clusters.v_measure < 0.6
    assert min(template.share for template in clusters.templates) < 0.6


def test_one_cluster_for_all_is_worth_nothing(rows: Rows, truth: Truth) -> None:
    clusters = summarise([{**it, "cluster": 0} for it in rows], [], truth).clusters
    assert (clusters.v_measure, clusters.homogeneity, clusters.clusters) == (0, 0, 1)


def test_exchanged_texts_are_seen(rows: Rows, truth: Truth) -> None:
    texts = [it["text_as_read"] for it in rows]
    turned = [{**it, "text_as_read": text} for it, text in zip(rows, texts[1:] + texts[:1], strict=True)]
    ocr = summarise(turned, [], truth).ocr
    assert ocr.character_error_rate > 0.5
    assert ocr.textless_empty < ocr.textless


@pytest.mark.parametrize(
    ("read", "wrong_characters", "wrong_words"),
    [("hello, ROME!", 0, 0), ("Hello\nRome.", 0, 0), ("Hello Rone", 1 / 10, 1 / 2), ("", 1, 1), (None, 1, 1)],
)
def test_error_rates_fold_case_lines_and_punctuation(
    read: str | None, wrong_characters: float, wrong_words: float
) -> None:
    ocr = summarise(one_row(text_as_read=read), [], one_post()).ocr
    assert ocr.character_error_rate == pytest.approx(wrong_characters)
    assert ocr.word_error_rate == pytest.approx(wrong_words)


def test_the_later_of_two_rows_counts() -> None:
    both = one_row(text_as_read="something else") + one_row(text_as_read="hello rome")
    found = summarise(both, [], one_post())
    assert (found.posts.joined, found.ocr.character_error_rate) == (1, 0)


def test_lost_and_incomplete_posts_are_named() -> None:
    truth = Truth({"a": PostTruth("cat"), "b": PostTruth("cat")})
    posts = summarise(one_row(missing=["text"]), [], truth).posts
    assert (posts.expected, posts.joined, posts.complete, posts.lost) == (2, 1, 0, ("b",))


def test_entities_found_wrongly_labelled_missed_and_unexpected() -> None:
    truth = one_post(entities=(("Rome", "GPE"), ("Anna", "PERSON"), ("May", "DATE")))
    reported = [
        {"text": "ROME", "label": "ORG"},
        {"text": "Aunt Anna", "label": "PERSON"},
        {"text": "Bob", "label": "PERSON"},
    ]
    found = summarise(one_row(entities=reported), [], truth).entities
    assert (found.expected, found.found, found.labelled, found.reported) == (3, 2, 1, 3)
    assert found.missed == ("May (DATE)",)


@pytest.mark.parametrize(
    ("expected", "found", "same"),
    [("Friday", "on Friday", True), ("Grandma Rose", "Rose", True), ("Rome", "Romeo", False), ("Rome", "!", False)],
)
def test_same_entity(expected: str, found: str, same: bool) -> None:
    assert same_entity(expected, found) is same


@pytest.mark.parametrize(
    ("compound", "expected"),
    [(0.05, "positive"), (0.049, "neutral"), (-0.05, "negative"), (0.0, "neutral")],
)
def test_mood(compound: float, expected: str) -> None:
    assert mood({"sentiments": {"compound": compound}}) == expected


def test_a_mood_that_failed_is_no_mood() -> None:
    moods = summarise(one_row(sentiments=None), [], one_post()).moods
    assert (moods.expected, moods.agreed, moods.found["neutral"]) == (1, 0, {"none": 1})


def test_dead_letters_are_matched_by_their_bytes(dead_letters: Rows, truth: Truth) -> None:
    stranger = {**dead_letters[0], "value": "AAAA"}
    found = summarise([], [*dead_letters[2:], stranger], truth).dead_letters
    assert found.found == found.expected - 2
    assert found.missed == (truth.broken[0].kind, truth.broken[1].kind)
    assert found.letters[-1].kind == ""


def test_stages_stand_in_the_order_of_the_flow() -> None:
    found = summarise(
        one_row(timings={"text": 1.0, "embedding": 1.0, "fetch": 1.0}, failures=[{"stage": "own"}]), [], one_post()
    )
    assert [stage.stage for stage in found.stages] == ["fetch", "embedding", "text", "own"]


def test_stages_count_only_posts_they_had_work_for(rows: Rows, truth: Truth) -> None:
    stages = {stage.stage: stage for stage in summarise(rows, [], truth).stages}
    assert (stages["text"].posts, stages["text"].seconds_each) == (len(truth.posts), 1.0)
    assert stages["text"].model == "easyocr"
    assert stages["fetch"].failures == sum(broken.global_id is not None for broken in truth.broken)


def test_nothing_came_out_at_all(truth: Truth) -> None:
    found = summarise([], [], truth)
    assert (found.posts.joined, len(found.posts.lost)) == (0, found.posts.expected)
    assert found.dead_letters.found == 0
    assert tables(found)


def test_to_dict_is_json(rows: Rows, dead_letters: Rows, truth: Truth) -> None:
    found = summarise(rows, dead_letters, truth, seconds=1.5).to_dict()
    assert json.loads(json.dumps(found))["ocr"]["character_error_rate"] == 0
    assert found["seconds"] == 1.5


def test_tables_tell_the_figures_and_take_no_markup(rows: Rows, dead_letters: Rows, truth: Truth) -> None:
    spoilt = [{**it, "text_as_read": "[bold red]not markup[/nonsense]"} for it in rows]
    letters = [{**letter, "reason": "[blink]why[/]"} for letter in dead_letters]
    console = Console(width=160, record=True, file=None, quiet=False)
    with console.capture() as capture:
        for table in tables(summarise(spoilt, letters, truth, seconds=61)):
            console.print(table)
    text = capture.get()
    for expected in ("after 61 s", "V-measure 1.00", "astronaut", "[bold red]not markup", "[blink]why[/]", "not UTF-8"):
        assert expected in text
