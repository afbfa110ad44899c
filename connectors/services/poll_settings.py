"""How services are polled."""

from pydantic import Field

from core.settings import LONGEST_WAIT, Group


class PollSettings(Group):
    """How patiently a service is polled, and how far back."""

    poll_pages: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Pages that the first round goes back whatever was seen (backfill); 0: as far as something is new.",
    )

    poll_most_pages: int = Field(
        50, ge=1, le=10_000, description="A round looks no further back than so many pages for what it has seen before."
    )

    poll_interval_seconds: float = Field(
        60.0, ge=1, le=86_400, description="Between two rounds of one listing, with --follow."
    )

    poll_timeout_seconds: float = Field(20.0, gt=0, le=600, description="For one request to a service.")

    poll_attempts: int = Field(
        6,
        ge=1,
        le=100,
        description="Requests in a row that may fail before a run ends; with --follow, none is the last.",
    )

    poll_backoff_seconds: float = Field(
        1.0, gt=0, le=60, description="Before a request is sent again; doubled each time, with a random part on top."
    )

    poll_patience_seconds: float = Field(
        900.0,
        ge=0,
        le=LONGEST_WAIT,
        description="A run without --follow ends where a service asks to wait for longer.",
    )

    poll_seen: int = Field(
        5000, ge=200, le=1_000_000, description="Ids of posts that are remembered for each listing, in every snapshot."
    )
