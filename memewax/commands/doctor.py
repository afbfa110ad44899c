"""`memewax doctor`: diagnosis of models, weights, engines and packages."""

import dataclasses
import json
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from core.endings import plural
from core.errors import MemewaxError, WorldError
from dataflows.all_settings import Settings, load_settings
from memewax.commands.flow_status import print_status
from models.engine_choice import Choice, Trial
from models.engines import ENGINES
from models.loading import load_text
from models.ocr.ocr_engines import ocr_choices
from models.runtime import Runtime
from models.stages import EMBEDDING, STAGES, TEXT, TEXT_EMBEDDING
from models.torch_runtime import patch_torchvision
from models.vit_engines import image_choice
from models.weights import ORDER, Weights

PACKAGES = (
    "bytewax",
    "confluent-kafka",
    "easyocr",
    "lancedb",
    "onnxruntime",
    "rapidocr",
    "river",
    "sentence-transformers",
    "spacy",
    "torch",
    "torchvision",
    "transformers",
    "vaderSentiment",
)
_STORE = "Show the status of the flows of this store instead of the models."


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Weights, devices and engines that the current settings select, and problems with them."""

    weights: tuple[Weights, ...]
    device: str | None
    provider: str | None
    """Execution provider of ONNX graphs."""
    onnx_device: str | None
    """Device of ONNX graphs: the default build of ONNX Runtime supports only the CPU."""
    text_engine: str | None
    """Engine that runs the sentence model."""
    engines: dict[str, str | None]
    """All engines, each with the reason why it is unavailable here, or None."""
    choices: tuple[Choice, ...]
    """Engines chosen for the image model, text detection and text recognition, and why."""
    threads: int
    versions: dict[str, str | None]
    problems: tuple[str, ...]
    """One line for each problem."""
    notes: tuple[str, ...]
    """One line for each problem that memewax works around."""


def diagnose(settings: Settings) -> Diagnosis:
    """Find the weights like a flow at its start, unpacking or downloading them; reports errors instead of raising."""
    problems: list[str] = []

    def attempt(find: Callable[[], Any]) -> Any:
        try:
            return find()
        except MemewaxError as error:
            problems.append(str(error))

    finders = [find for stage in STAGES if stage.model for find in stage.model.weights(settings)]
    weights = [found for find in finders if (found := attempt(find)) is not None]
    has_sentences = any(found.stage == TEXT_EMBEDDING.name for found in weights)
    runtime: Runtime | None = attempt(lambda: Runtime.of(settings))
    torchvision = attempt(patch_torchvision)
    versions = {package: _version(package) for package in PACKAGES}
    problems += [f"{package} is not installed" for package, found in versions.items() if found is None]
    return Diagnosis(
        weights=tuple(weights),
        device=runtime.device if runtime else None,
        provider=runtime.provider if runtime else None,
        onnx_device=runtime.graph_device() if runtime else None,
        text_engine=attempt(lambda: _text_engine(settings, runtime)) if has_sentences and runtime else None,
        choices=tuple(it for find in _chosen(settings, weights, runtime) for it in attempt(find) or ()),
        engines={engine.name: engine.why_missing() for engine in ENGINES},
        threads=settings.threads_per_model,
        versions={"python": platform.python_version(), **versions},
        problems=tuple(problems),
        notes=(torchvision,) if torchvision else (),
    )


def doctor(
    store: Annotated[Path | None, typer.Option(help=_STORE)] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout instead of a table.")
    ] = False,
) -> None:
    """Show the models, the origin of their weights, and problems; ends with exit code 3 if there are any.

    It unpacks, downloads and exports weights as needed, so it also prepares a machine or a container image for its
    first flow. With --store, it shows the status of the store's flows, and ends with exit code 3 if one has a problem.
    """
    if store is not None:
        print_status(store, as_json=json_output)
        return
    found = diagnose(load_settings())
    if json_output:
        report = dataclasses.asdict(found) | {"order": ORDER}
        sys.stdout.write(json.dumps(report, default=str, indent=2) + "\n")
    else:
        _print(found)
    if found.problems:
        raise WorldError("; ".join(found.problems))


def _print(found: Diagnosis) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for weights in found.weights:
        console.print(Text.assemble((weights.stage, "bold"), f": {weights.id}, from {weights.origin}"))
        facts = [f"{weights.size / 1e6:.1f} MB", f"SHA-256 {weights.sha256[:12]}", weights.licence]
        facts += [f"dimension {weights.dimension}"] if weights.dimension else []
        console.print(Text(f"    {', '.join(facts)}"))
        console.print(Text(f"    {weights.path}"))
    console = Console(highlight=False)
    console.print(f"weights are searched for in this order: {', '.join(ORDER)}")
    devices = f"device {found.device or 'none'}, ONNX by {found.provider or 'none'} on {found.onnx_device or 'none'}"
    sentences = f"sentence model by {found.text_engine or 'none'}"
    console.print(f"{devices}, {sentences}, {plural(found.threads, 'thread')} per model")
    for it in found.choices:
        console.print(Text(f"{it.part} by {it.plan}: {it.reason}"))
        for tried in it.trials:
            console.print(Text(f"    {tried.plan}: {_tried(tried)}"))
    console.print(f"engines: {', '.join(name for name, reason in found.engines.items() if reason is None)}")
    for reason in filter(None, found.engines.values()):
        console.print(Text(f"    {reason}"))
    console.print(", ".join(f"{package} {number or 'missing'}" for package, number in found.versions.items()))
    for note in found.notes:
        console.print(Text(note), soft_wrap=True)


def _chosen(
    settings: Settings, weights: Sequence[Weights], runtime: Runtime | None
) -> list[Callable[[], tuple[Choice, ...]]]:
    """Return functions that choose engines, for the models with weights."""
    if runtime is None or settings.models == "fake":
        return []
    of_image = [it for it in weights if it.stage == EMBEDDING.name]
    found: list[Callable[[], tuple[Choice, ...]]] = [
        lambda: tuple(image_choice(it, settings, runtime) for it in of_image)
    ]
    return [*found, lambda: ocr_choices(settings, runtime)] if any(it.stage == TEXT.name for it in weights) else found


def _tried(trial: Trial) -> str:
    took = f"{trial.fastest:.0f} ms" if trial.milliseconds else ""
    return ", ".join(filter(None, [took, trial.refused or f"differs by {trial.apart:.2g}"]))


def _text_engine(settings: Settings, runtime: Runtime) -> str:
    model = load_text(settings, runtime)
    return str(model.engine or model.name)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
