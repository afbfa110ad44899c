"""`eval ocr`: the text in images as read, beside the text that people transcribed."""

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
    """An image's text as it is and as it was read."""

    known: LabelledPost
    expected: str
    read: str
    """One line of text a line, in reading order; empty where reading failed."""
    failure: Failure | None
    seconds: float
    """The image's share of its batch."""


def read(posts: Sequence[LabelledPost], model: Model[Pixels, Reading], settings: Settings, steps: Steps) -> list[Case]:
    """Read every image, as many at a time as go through the flow together; decoding is not in the time."""
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
    """Error rates over all cases; an image that could not be read counts as read empty."""
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
