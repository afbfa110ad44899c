"""Pages of HTML that need nothing else: clusters as a contact sheet, and the texts that were read worst."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core.errors import WorldError
from memewax.evaluation.eval_clusters import EmbeddedPosts, Labels
from memewax.evaluation.eval_ocr import Case
from memewax.evaluation.measures import Report
from memewax.evaluation.texts import count, rates
from memewax.pages.showing import Word, compared, templates, thumbnail

_WORST: Final = 40
_SMALL: Final = 160
"""Pixels a side of a picture on the contact sheet."""


@dataclass(frozen=True, slots=True)
class SheetPicture:
    """A picture of a cluster; `stranger`: its template is not the most frequent one there."""

    source: str | None
    template: str
    name: str
    stranger: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """A cluster: its most frequent template, how many of that template's pictures it holds, and its pictures."""

    cluster: int
    template: str
    members: int
    all_members: int
    pictures: tuple[SheetPicture, ...]


@dataclass(frozen=True, slots=True)
class Misread:
    """A picture whose text was read with mistakes: both texts, word by word."""

    source: str | None
    name: str
    error_rate: float
    expected: tuple[tuple[Word, ...], ...]
    read: tuple[tuple[Word, ...], ...]
    failure: str


def write_clusters(path: Path, report: Report, embedded: EmbeddedPosts, labels: Labels) -> None:
    """Write the contact sheet of `labels` to `path`; raises `WorldError` where that cannot be written."""
    _write(path, "clusters.html", report=report, sheets=sheets(embedded, labels))


def write_ocr(path: Path, report: Report, cases: Sequence[Case]) -> None:
    """Write the worst cases to `path`; raises `WorldError` where that cannot be written."""
    _write(path, "ocr.html", report=report, cases=worst(cases))


def sheets(embedded: EmbeddedPosts, labels: Labels) -> list[Sheet]:
    """Clusters, the largest first; in each its strangers come last."""
    by_cluster: dict[int, list[int]] = defaultdict(list)
    for place, label in enumerate(labels.tolist()):
        by_cluster[label].append(place)
    truth = embedded.templates
    totals = Counter(truth)
    found = []
    for cluster, places in by_cluster.items():
        template, members = Counter(truth[place] for place in places).most_common(1)[0]
        pictures = [_picture(embedded, place, template) for place in places]
        pictures.sort(key=lambda picture: (picture.stranger, picture.template, picture.name))
        found.append(Sheet(cluster, template, members, totals[template], tuple(pictures)))
    return sorted(found, key=lambda sheet: (-len(sheet.pictures), sheet.cluster))


def worst(cases: Sequence[Case]) -> list[Misread]:
    """Cases with a wrong character, most of their characters wrong first; at most forty."""
    judged = [(rates(count([case.expected], [case.read]))["cer"], case) for case in cases]
    wrong = sorted((it for it in judged if it[0] > 0), key=lambda it: (-it[0], it[1].known.post.global_id))
    return [_misread(rate, case) for rate, case in wrong[:_WORST]]


def _picture(embedded: EmbeddedPosts, place: int, template: str) -> SheetPicture:
    known = embedded.posts[place]
    source = thumbnail(known.picture, _SMALL)
    return SheetPicture(source, str(known.truth), known.post.global_id, str(known.truth) != template)


def _misread(rate: float, case: Case) -> Misread:
    post = case.known.post
    return Misread(
        source=thumbnail(case.known.picture),
        name=post.global_id,
        error_rate=rate,
        expected=compared(case.read, case.expected),
        read=compared(case.expected, case.read),
        failure=case.failure.reason if case.failure else "",
    )


def _write(path: Path, template: str, **values: Any) -> None:
    html = templates("memewax.evaluation").get_template(template).render(**values)
    try:
        path.write_text(html, encoding="utf-8")
    except OSError as error:
        raise WorldError(f"{path}: {error.strerror}") from None
