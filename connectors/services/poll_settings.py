"""How services are polled."""

from pydantic import Field

from core.settings import LONGEST_WAIT, Group


class PollSettings(Group):
    """Pages, intervals, timeouts and retries of polled services."""

    poll_pages: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Pages that the first polling cycle reads even if their posts are known (backfill); 0: read until posts are known.",
    )

    poll_most_pages: int = Field(
        50,
        ge=1,
        le=10_000,
        description="Maximum number of pages that a polling cycle reads to find posts that it knows.",
    )

    poll_interval_seconds: float = Field(
        60.0, ge=1, le=86_400, description="Seconds between two polling cycles of a listing, with --follow."
    )

    poll_timeout_seconds: float = Field(
        20.0, gt=0, le=600, description="Timeout of one request to a service, in seconds."
    )

    poll_attempts: int = Field(
        6,
        ge=1,
        le=100,
        description="Requests in a row that may fail before a run ends; with --follow, retries are unlimited.",
    )

    poll_backoff_seconds: float = Field(
        1.0, gt=0, le=60, description="Seconds before the first retry of a request; doubled each time, plus jitter."
    )

    poll_patience_seconds: float = Field(
        900.0,
        ge=0,
        le=LONGEST_WAIT,
        description="Longest wait that a service may ask for, in seconds; a run without --follow ends if it asks for more.",
    )

    poll_seen: int = Field(
        5000, ge=200, le=1_000_000, description="Number of post ids that every snapshot remembers for each listing."
    )
