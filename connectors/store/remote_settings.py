"""Settings of every store that is reached over a network."""

from pydantic import Field

from core.settings import Group


class RemoteStoreSettings(Group):
    """How long a store may be away."""

    store_timeout_seconds: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="A store elsewhere that does not answer, or refuses to write, is tried again for so long; then the flow ends, and goes on from its snapshot.",
    )
