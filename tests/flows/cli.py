"""`memewax` with the flow of pixels: what a person would type, at no cost for models."""

from typing import Any

from memewax.commands import flow_run as flow
from memewax.commands.app import main
from memewax.commands.supervise import Job

PIXELS = "tests.flows.pixels_flow"


def _job(_: str, *rest: Any) -> Job:
    return Job(PIXELS, *rest)


if __name__ == "__main__":
    flow.Job = _job  # type: ignore[misc, assignment]
    main()
