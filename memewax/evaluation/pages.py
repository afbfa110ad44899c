"""Self-contained HTML pages: a contact sheet of clusters, and the texts with the most OCR errors."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core.errors import WorldError
from memewax.evaluation.embedded_posts import EmbeddedPosts
from memewax.evaluation.eval_ocr import Case
from memewax.evaluation.measures import Report
from memewax.evaluation.one_of_a_kind import Labels, TrueGroups
from memewax.evaluation.texts import count, rates
from memewax.pages.showing import Word, compared, templates, thumbnail

_WORST: Final = 40
_OTHER_CLUSTERS: Final = 100
"""Most clusters without strangers on the page."""
_SHOWN: Final = 60
"""Most images of one cluster or template on the page."""
_SMALL: Final = 160
"""Longest side of an image on the contact sheet, in pixels."""


@dataclass(frozen=True, slots=True)
class SheetImage:
    """An image on a sheet."""

    source: str | None
    """Data URI, if the image is known."""
    label: str
    """Its template, or for a split template the cluster that it is in."""
    name: str
    stranger: bool
    """Whether it does not belong to the sheet's template or cluster."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A cluster on the contact sheet."""

    cluster: int
    template: str
    """Its most frequent template."""
    members: int
    """Images of that template in the cluster."""
    all_members: int
    """Images of that template in all clusters."""
    size: int
    images: tuple[SheetImage, ...]
    """Its first images, strangers first."""

    @property
    def strangers(self) -> int:
        """Count the images of other templates."""
        return self.size - self.members


@dataclass(frozen=True, slots=True)
class SplitTemplate:
    """A template whose images are in several clusters."""

    template: str
    cluster: int
    """The cluster with most of its images."""
    members: int
    """All images of the template."""
    outside: int
    """Images of the template in other clusters."""
    clusters: int
    """Number of clusters with images of the template."""
    images: tuple[SheetImage, ...]
    """One image of the main cluster, then the first of those in other clusters."""


@dataclass(frozen=True, slots=True)
class Misread:
    """An image whose text was read with errors: both texts, word by word."""

    source: str | None
    name: str
    error_rate: float
    expected: tuple[tuple[Word, ...], ...]
    read: tuple[tuple[Word, ...], ...]
    failure: str


def write_clusters(path: Path, report: Report, embedded: EmbeddedPosts, labels: Labels) -> None:
    """Write the contact sheet of clusters, the worst first; raise `WorldError` if the file cannot be written."""
    _write(
        path,
        "clusters.html",
        report=report,
        clusters=len(set(labels.tolist())),
        mixed=mixed(embedded, labels),
        split=split_templates(embedded, labels),
        others=others(embedded, labels),
    )


def write_ocr(path: Path, report: Report, cases: Sequence[Case]) -> None:
    """Write the worst OCR cases; raise `WorldError` if the file cannot be written."""
    _write(path, "ocr.html", report=report, cases=worst(cases))


def mixed(embedded: EmbeddedPosts, labels: Labels) -> list[Sheet]:
    """Return at most 40 clusters with strangers, those with the most first."""
    groups = TrueGroups.of(embedded.templates).groups
    found = [(it, template) for it, template in _clusters(groups, labels) if len(it) > template[1]]
    found.sort(key=lambda it: (it[1][1] - len(it[0]), int(labels[it[0][0]])))
    return [_sheet(embedded, groups, labels, *it) for it in found[:_WORST]]


def others(embedded: EmbeddedPosts, labels: Labels) -> list[Sheet]:
    """Return at most 100 clusters without strangers, the largest first."""
    groups = TrueGroups.of(embedded.templates).groups
    found = [(it, template) for it, template in _clusters(groups, labels) if len(it) == template[1]]
    found.sort(key=lambda it: (-len(it[0]), int(labels[it[0][0]])))
    return [_sheet(embedded, groups, labels, *it) for it in found[:_OTHER_CLUSTERS]]


def split_templates(embedded: EmbeddedPosts, labels: Labels) -> list[SplitTemplate]:
    """Return at most 40 templates in several clusters, those with the most images outside their main one first."""
    by_group: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(TrueGroups.of(embedded.templates).groups.tolist()):
        by_group[group].append(place)
    found = []
    for places in by_group.values():
        counts = Counter(labels[places].tolist())
        ((main, members),) = counts.most_common(1)
        if len(counts) > 1:
            found.append((len(places) - members, main, len(counts), places))
    found.sort(key=lambda it: (-it[0], it[1]))
    sheets = []
    for outside, main, clusters, places in found[:_WORST]:
        belongs = next(it for it in places if labels[it] == main)
        away = sorted((it for it in places if labels[it] != main), key=lambda it: (int(labels[it]), it))
        images = [_image(embedded, belongs, "", stranger=False)]
        images += [_image(embedded, it, f"cluster {labels[it]}", stranger=True) for it in away[: _SHOWN - 1]]
        template = embedded.templates[belongs]
        sheets.append(SplitTemplate(template, main, len(places), outside, clusters, tuple(images)))
    return sheets


def worst(cases: Sequence[Case]) -> list[Misread]:
    """Return at most 40 cases with OCR errors, the highest character error rate first."""
    judged = [(rates(count([case.expected], [case.read]))["cer"], case) for case in cases]
    wrong = sorted((it for it in judged if it[0] > 0), key=lambda it: (-it[0], it[1].known.post.global_id))
    return [_misread(rate, case) for rate, case in wrong[:_WORST]]


def _clusters(groups: Labels, labels: Labels) -> list[tuple[list[int], tuple[int, int]]]:
    """Return the positions of each cluster's posts, with its most frequent true group and that group's count."""
    by_cluster: dict[int, list[int]] = defaultdict(list)
    for place, label in enumerate(labels.tolist()):
        by_cluster[label].append(place)
    return [(places, Counter(groups[places].tolist()).most_common(1)[0]) for places in by_cluster.values()]


def _sheet(embedded: EmbeddedPosts, groups: Labels, labels: Labels, places: list[int], main: tuple[int, int]) -> Sheet:
    group, members = main
    ordered = sorted(places, key=lambda it: (groups[it] == group, _template_name(embedded, it), embedded.ids[it]))
    images = [
        _image(embedded, it, _template_name(embedded, it), stranger=bool(groups[it] != group))
        for it in ordered[:_SHOWN]
    ]
    template = _template_name(embedded, next(it for it in places if groups[it] == group))
    all_members = int((groups == group).sum())
    return Sheet(int(labels[places[0]]), template, members, all_members, len(places), tuple(images))


def _template_name(embedded: EmbeddedPosts, place: int) -> str:
    return embedded.templates[place] or "no template"


def _image(embedded: EmbeddedPosts, place: int, label: str, *, stranger: bool) -> SheetImage:
    path = embedded.images[place]
    return SheetImage(thumbnail(path, _SMALL) if path else None, label, embedded.ids[place], stranger)


def _misread(rate: float, case: Case) -> Misread:
    post = case.known.post
    return Misread(
        source=thumbnail(case.known.image),
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
