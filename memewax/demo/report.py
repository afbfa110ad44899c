"""Comparison of the flow's results with the labels: pure functions from records and dead letters to figures."""

from base64 import b64decode
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sklearn.metrics import homogeneity_completeness_v_measure

from memewax.demo.demo_figures import (
    Clusters,
    DeadLetters,
    DemoDeadLetter,
    DemoPosts,
    DemoStage,
    DemoSummary,
    Entities,
    Moods,
    Ocr,
    Sample,
    Template,
)
from memewax.demo.truth import PostTruth, Truth
from memewax.evaluation.moods import MOODS, mood_of_compound
from memewax.evaluation.texts import count, fold, rates
from models.stages import stage_names

_PLACES: Final = ("fetch", *stage_names())
"""Stages in the order of the flow."""

ReportRow = Mapping[str, Any]
"""Columns of a record, or fields of a dead letter, by name."""


def summarise(
    rows: Iterable[ReportRow], dead_letters: Iterable[ReportRow], truth: Truth, *, seconds: float | None = None
) -> DemoSummary:
    """Compare records and dead letters with the labels; of rows with the same `global_id` the last counts.

    Args:
        rows: Records.
        dead_letters: Dead letters.
        truth: Labels of the posts.
        seconds: Duration of the flow.
    """
    by_id = {row["global_id"]: row for row in rows}
    known = [(row, truth.posts[global_id]) for global_id, row in by_id.items() if global_id in truth.posts]
    samples = [_sample(row, post) for row, post in known if post.text]
    return DemoSummary(
        _posts(by_id, truth),
        _ocr(samples, [row for row, post in known if not post.text]),
        _clusters(known),
        _entities(known),
        _moods(known),
        _dead_letters(list(dead_letters), truth),
        _stages(list(by_id.values())),
        tuple(sorted(samples, key=lambda sample: (-sample.error_rate, sample.global_id))),
        seconds,
    )


def mood(row: ReportRow) -> str | None:
    """Return `negative`, `neutral` or `positive` by the compound score, or None if there are no scores."""
    scores = row.get("sentiments")
    return None if scores is None else mood_of_compound(scores["compound"])


def same_entity(expected: str, found: str) -> bool:
    """Check whether the words of one entity are a consecutive part of the other's.

    Examples:
        >>> same_entity("Rose", "Grandma Rose"), same_entity("Friday", "Saturday")
        (True, False)
    """
    one, other = fold(expected), fold(found)
    return bool(one and other) and (f" {one} " in f" {other} " or f" {other} " in f" {one} ")


def match(expected: PostTruth, row: ReportRow) -> list[tuple[str, str, Mapping[str, Any] | None]]:
    """Match each expected entity with a reported one, preferably of the same label.

    Returns:
        Text, label and reported entity (or None) for each expected entity.
    """
    reported = row.get("entities") or []
    matched = []
    for text, label in expected.entities:
        same = [entity for entity in reported if same_entity(text, entity["text"])]
        same.sort(key=lambda entity: entity["label"] != label)
        matched.append((text, label, same[0] if same else None))
    return matched


def _posts(by_id: Mapping[str, ReportRow], truth: Truth) -> DemoPosts:
    expected = {*truth.posts, *(broken.global_id for broken in truth.broken if broken.global_id)}
    complete = sum(not row.get("missing") for row in by_id.values())
    return DemoPosts(len(expected), len(by_id), complete, tuple(sorted(expected - by_id.keys())), truth.duplicates)


def _sample(row: ReportRow, post: PostTruth) -> Sample:
    read = row.get("text_as_read") or ""
    error_rate = rates(count([post.text], [read]))["cer"]
    return Sample(row["global_id"], post.template, post.text, read, error_rate)


def _ocr(samples: Sequence[Sample], textless: Sequence[ReportRow]) -> Ocr:
    counts = count([sample.drawn for sample in samples], [sample.read for sample in samples])
    measured = rates(counts)
    return Ocr(
        posts=len(samples),
        characters=int(counts[:, 1].sum()),
        character_error_rate=measured["cer"],
        word_error_rate=measured["wer"],
        perfect=sum(sample.error_rate == 0 for sample in samples),
        textless=len(textless),
        textless_empty=sum(not fold(row.get("text_as_read") or "") for row in textless),
    )


def _clusters(known: Sequence[tuple[ReportRow, PostTruth]]) -> Clusters:
    placed = [(post.template, int(row["cluster"])) for row, post in known if row["cluster"] >= 0]
    by_template: dict[str, list[int]] = defaultdict(list)
    for template, cluster in placed:
        by_template[template].append(cluster)
    templates = tuple(
        Template(template, tuple(cluster for cluster, n in Counter(sorted(ids)).most_common() for _ in range(n)))
        for template, ids in sorted(by_template.items())
    )
    labels, ids = [template for template, _ in placed], [cluster for _, cluster in placed]
    homogeneity, completeness, v_measure = map(float, homogeneity_completeness_v_measure(labels, ids))
    return Clusters(templates, len(set(ids)), v_measure, homogeneity, completeness)


def _entities(known: Sequence[tuple[ReportRow, PostTruth]]) -> Entities:
    matched = [one for row, post in known for one in match(post, row)]
    return Entities(
        expected=len(matched),
        found=sum(entity is not None for _, _, entity in matched),
        labelled=sum(entity is not None and entity["label"] == label for _, label, entity in matched),
        reported=sum(len(row.get("entities") or []) for row, _ in known),
        missed=tuple(f"{text} ({label})" for text, label, entity in matched if entity is None),
    )


def _moods(known: Sequence[tuple[ReportRow, PostTruth]]) -> Moods:
    pairs = [(post.mood, mood(row) or "none") for row, post in known if post.mood]
    found: dict[str, dict[str, int]] = {}
    for expected in MOODS:
        found[expected] = dict(Counter(answer for label, answer in pairs if label == expected))
    return Moods(len(pairs), sum(expected == answer for expected, answer in pairs), found)


def _dead_letters(rows: Sequence[ReportRow], truth: Truth) -> DeadLetters:
    kinds = {broken.value: broken.kind for broken in truth.broken}
    described = [
        DemoDeadLetter(
            kinds.get(b64decode(row["value"]), ""), row["stage"], row["exception"], row["reason"], row.get("global_id")
        )
        for row in rows
    ]
    answered = {it.kind for it in described}
    missed = tuple(broken.kind for broken in truth.broken if broken.kind not in answered)
    return DeadLetters(len(truth.broken), len(truth.broken) - len(missed), missed, tuple(described))


def _stages(rows: Sequence[ReportRow]) -> tuple[DemoStage, ...]:
    seconds: dict[str, list[float]] = defaultdict(list)
    failures: Counter[str] = Counter()
    models: dict[str, str] = {}
    for row in rows:
        for stage, taken in (row.get("timings") or {}).items():
            if taken:  # 0: the stage had nothing to do for this post
                seconds[stage].append(taken)
        failures.update(failure["stage"] for failure in row.get("failures") or ())
        models.update({stage: model for stage, model in (row.get("models") or {}).items() if model})
    places = {stage: place for place, stage in enumerate(_PLACES)}
    stages = sorted({**seconds, **failures}, key=lambda stage: places.get(stage, len(places)))
    return tuple(
        DemoStage(
            stage,
            len(seconds[stage]),
            failures[stage],
            sum(seconds[stage]) / max(1, len(seconds[stage])),
            models.get(stage, ""),
        )
        for stage in stages
    )
