"""`eval entities`: named entities found in texts against annotated ones, by exact span."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from spacy.scorer import PRFScore

from core.errors import WorldError
from core.records import Entity, Failure
from memewax.evaluation.measures import Figure, Indices, Report, with_intervals
from memewax.evaluation.progress_bar import answers
from models.base import Model

_PACKAGES = ("spacy", "transformers", "spylls")

_KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("person", "per"), "person"),
    **dict.fromkeys(("location", "loc", "gpe", "fac", "geo-loc", "facility"), "place"),
    **dict.fromkeys(("corporation", "group", "org", "norp", "company", "sportsteam"), "group"),
    **dict.fromkeys(("product", "creative-work", "work_of_art", "event", "law", "misc", "other", "movie"), "other"),
}
"""Maps labels of OntoNotes, CoNLL, WNUT-17 and the Broad Twitter Corpus, lower-cased, to four kinds of names."""


def upper(text: str) -> str:
    """Upper-case a text, as memes do, without changing its length: letters whose capital is two letters stay."""
    return "".join(letter.upper() if len(letter.upper()) == 1 else letter for letter in text)


def lower(text: str) -> str:
    """Lower-case a text without changing its length."""
    return "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in text)


CASINGS: Final[Mapping[str, Callable[[str], str]]] = {"as-is": lambda text: text, "upper": upper, "lower": lower}


def break_lines(text: str, width: int) -> str:
    """Wrap a text as captions are: blanks become line breaks so that lines have at most `width` letters if possible.

    The length stays the same, so spans stay valid.
    """
    letters, start, blank = list(text), 0, -1
    for place, letter in enumerate(letters):
        blank = place if letter == " " else blank
        if place - start >= width and blank >= start:
            letters[blank] = "\n"
            start = blank + 1
    return "".join(letters)


def measure(
    lines: Sequence[dict[str, Any]], model: Model[str, tuple[Entity, ...]], *, casing: str, width: int | None
) -> Report:
    """Measure F1, precision and recall of spans of any type, F1 of names only, and F1 of names with their kind.

    Args:
        lines: Objects with `text` and `entities` (start, end, label).
        model: Finds entities.
        casing: Name of one of `CASINGS`, applied to the texts.
        width: Wrap the texts at this width; None to leave their lines as they are.
    """
    texts = [CASINGS[casing](str(line["text"])) for line in lines]
    seen = [break_lines(text, width) for text in texts] if width else texts
    given = answers("finding names", model, seen)
    scores = {"span": np.zeros((len(lines), 3)), "name": np.zeros((len(lines), 3)), "typed": np.zeros((len(lines), 3))}
    for row, (line, answer) in enumerate(zip(lines, given, strict=True)):
        expected = _expected(line)
        found = [] if isinstance(answer, Failure) else [(it.start, it.end, it.label) for it in answer]
        names = [it for it in found if it[2].lower() in _KINDS]
        scores["span"][row] = _counts({it[:2] for it in found}, {it[:2] for it in expected})
        scores["name"][row] = _counts({it[:2] for it in names}, {it[:2] for it in expected})
        scores["typed"][row] = _counts({_typed(it) for it in names}, {_typed(it) for it in expected})

    def figures(indices: Indices) -> dict[str, float]:
        hits, extra, missed = scores["span"][indices].sum(axis=0).tolist()
        found = {f"{name}_f1": _f1(counts[indices]) for name, counts in scores.items()}
        return found | {"precision": _share(hits, extra), "recall": _share(hits, missed)}

    options = {"casing": casing, "line_width": width}
    failures = tuple(answer.reason for answer in given if isinstance(answer, Failure))
    measured: dict[str, Figure] = with_intervals(len(lines), figures)
    return Report("entities", len(lines), measured, {"entities": model.name}, _PACKAGES, options, failures)


def _expected(line: dict[str, Any]) -> list[tuple[int, int, str]]:
    try:
        return [(int(it["start"]), int(it["end"]), str(it["label"])) for it in line["entities"]]
    except (KeyError, TypeError, ValueError):
        raise WorldError(f"entities must have start, end and label, found {str(line['entities'])[:80]}") from None


def _typed(span: tuple[int, int, str]) -> tuple[int, int, str]:
    start, end, label = span
    return start, end, _KINDS.get(label.lower(), label)


def _counts(found: set[Any], expected: set[Any]) -> tuple[int, int, int]:
    score = PRFScore()
    score.score_set(found, expected)
    return score.tp, score.fp, score.fn


def _share(hits: float, others: float) -> float:
    return hits / (hits + others) if hits + others else 1.0  # nothing to find and nothing found, as in _f1


def _f1(counts: Any) -> float:
    hits, extra, missed = counts.sum(axis=0).tolist()
    return float(2 * hits / (2 * hits + extra + missed)) if hits + extra + missed else 1.0
