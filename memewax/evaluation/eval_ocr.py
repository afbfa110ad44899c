"""`eval ocr`: text read in images against transcriptions."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from core.records import Failure, Pixels, Reading
from dataflows.all_settings import Settings
from memewax.evaluation.data import LabelledPost, image_of
from memewax.evaluation.measures import Figure, Report, with_intervals
from memewax.evaluation.progress_bar import Steps
from memewax.evaluation.texts import FORMS, count, rates
from models.base import Model

_PACKAGES = ("easyocr", "jiwer", "onnxruntime", "rapidocr", "torch")


@dataclass(frozen=True, slots=True)
class Case:
    """The text of an image, as transcribed and as read."""

    known: LabelledPost
    expected: str
    read: str
    """Lines in reading order, joined by newlines; empty if reading failed."""
    failure: Failure | None
    seconds: float
    """Time of the batch divided by its images."""


def read(posts: Sequence[LabelledPost], model: Model[Pixels, Reading], settings: Settings, steps: Steps) -> list[Case]:
    """Read every image, in batches of the flow's size; the time excludes decoding."""
    cases: list[Case] = []
    for start in range(0, len(posts), settings.read_batch):
        batch = posts[start : start + settings.read_batch]
        images = [image_of(known, settings) for known in batch]
        good = [image for image in images if not isinstance(image, Failure)]
        began = perf_counter()
        answers = iter(model(good))
        seconds = (perf_counter() - began) / max(1, len(good))
        for known, image in zip(batch, images, strict=True):
            answer = image if isinstance(image, Failure) else next(answers)
            failure = answer if isinstance(answer, Failure) else None
            text = "" if isinstance(answer, Failure) else answer.as_read
            cases.append(Case(known, str(known.truth), text, failure, seconds if failure is None else 0.0))
        steps.advance(len(batch))
    return cases


def report(cases: Sequence[Case], model: str) -> Report:
    """Measure error rates over all cases; an image that could not be read counts as read with no text."""
    expected, found = [case.expected for case in cases], [case.read for case in cases]
    figures: dict[str, Figure] = {}
    for name, form in FORMS.items():
        counts = count(expected, found, form)
        measured = with_intervals(len(cases), lambda indices, counts=counts: rates(counts[indices]))  # type: ignore[misc]
        figures |= {f"{name}.{figure}" if name else figure: value for figure, value in measured.items()}
    times = [case.seconds for case in cases if case.failure is None]
    figures["seconds_per_image"] = Figure(sum(times) / max(1, len(times)))
    failures = tuple(case.failure.reason for case in cases if case.failure is not None)
    return Report("ocr", len(cases), figures, {"text": model}, _PACKAGES, failures=failures)
