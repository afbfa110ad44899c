"""Pages of HTML that need nothing else: clusters as a contact sheet, and the texts that were read worst."""

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
"""Of clusters with no stranger, so many are on the page."""
_SHOWN: Final = 60
"""Images of one cluster or template on the page."""
_SMALL: Final = 160
"""Pixels a side of an image on the contact sheet."""


@dataclass(frozen=True, slots=True)
class SheetImage:
    """An image on a sheet; `stranger`: it is not of what the sheet is of, and `told` says of what it is."""

    source: str | None
    told: str
    name: str
    stranger: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """A cluster: its most frequent template, how many of that template's images it holds, and its images."""

    cluster: int
    template: str
    members: int
    all_members: int
    size: int
    images: tuple[SheetImage, ...]
    """The first of them, strangers first."""

    @property
    def strangers(self) -> int:
        """Images of other templates."""
        return self.size - self.members


@dataclass(frozen=True, slots=True)
class SplitTemplate:
    """A template in several clusters: those of its images that are not in the cluster that holds most of them."""

    template: str
    cluster: int
    members: int
    outside: int
    clusters: int
    images: tuple[SheetImage, ...]
    """One that is where it belongs, then the first of those outside, each with its cluster."""


@dataclass(frozen=True, slots=True)
class Misread:
    """An image whose text was read with mistakes: both texts, word by word."""

    source: str | None
    name: str
    error_rate: float
    expected: tuple[tuple[Word, ...], ...]
    read: tuple[tuple[Word, ...], ...]
    failure: str


def write_clusters(path: Path, report: Report, embedded: EmbeddedPosts, labels: Labels) -> None:
    """Write the contact sheet of `labels` to `path`, the worst first; raises `WorldError` where that cannot be."""
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
    """Write the worst cases to `path`; raises `WorldError` where that cannot be written."""
    _write(path, "ocr.html", report=report, cases=worst(cases))


def mixed(embedded: EmbeddedPosts, labels: Labels) -> list[Sheet]:
    """Clusters with strangers, those with most of them first; at most forty."""
    groups = TrueGroups.of(embedded.templates).groups
    found = [(it, template) for it, template in _clusters(groups, labels) if len(it) > template[1]]
    found.sort(key=lambda it: (it[1][1] - len(it[0]), int(labels[it[0][0]])))
    return [_sheet(embedded, groups, labels, *it) for it in found[:_WORST]]


def others(embedded: EmbeddedPosts, labels: Labels) -> list[Sheet]:
    """Clusters without strangers, the largest first; at most a hundred."""
    groups = TrueGroups.of(embedded.templates).groups
    found = [(it, template) for it, template in _clusters(groups, labels) if len(it) == template[1]]
    found.sort(key=lambda it: (-len(it[0]), int(labels[it[0][0]])))
    return [_sheet(embedded, groups, labels, *it) for it in found[:_OTHER_CLUSTERS]]


def split_templates(embedded: EmbeddedPosts, labels: Labels) -> list[SplitTemplate]:
    """Templates in several clusters, those with most images outside their main one first; at most forty."""
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
    """Cases with a wrong character, most of their characters wrong first; at most forty."""
    judged = [(rates(count([case.expected], [case.read]))["cer"], case) for case in cases]
    wrong = sorted((it for it in judged if it[0] > 0), key=lambda it: (-it[0], it[1].known.post.global_id))
    return [_misread(rate, case) for rate, case in wrong[:_WORST]]


def _clusters(groups: Labels, labels: Labels) -> list[tuple[list[int], tuple[int, int]]]:
    """The places of each cluster, and its most frequent group of the truth with how many of it are there."""
    by_cluster: dict[int, list[int]] = defaultdict(list)
    for place, label in enumerate(labels.tolist()):
        by_cluster[label].append(place)
    return [(places, Counter(groups[places].tolist()).most_common(1)[0]) for places in by_cluster.values()]


def _sheet(embedded: EmbeddedPosts, groups: Labels, labels: Labels, places: list[int], main: tuple[int, int]) -> Sheet:
    group, members = main
    ordered = sorted(places, key=lambda it: (groups[it] == group, _told(embedded, it), embedded.ids[it]))
    images = [_image(embedded, it, _told(embedded, it), stranger=bool(groups[it] != group)) for it in ordered[:_SHOWN]]
    template = _told(embedded, next(it for it in places if groups[it] == group))
    all_members = int((groups == group).sum())
    return Sheet(int(labels[places[0]]), template, members, all_members, len(places), tuple(images))


def _told(embedded: EmbeddedPosts, place: int) -> str:
    return embedded.templates[place] or "no template"


def _image(embedded: EmbeddedPosts, place: int, told: str, *, stranger: bool) -> SheetImage:
    path = embedded.images[place]
    return SheetImage(thumbnail(path, _SMALL) if path else None, told, embedded.ids[place], stranger)


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
