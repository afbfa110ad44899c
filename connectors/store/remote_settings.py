"""Settings of all stores that are reached over a network."""

from pydantic import Field

from core.settings import Group


class RemoteStoreSettings(Group):
    """Timeout of a remote store."""

    store_timeout_seconds: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="How long to retry a remote store that does not answer or refuses writes; after that the flow ends, and can be resumed from its snapshot.",
    )
