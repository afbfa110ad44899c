"""Settings of stores on object storage."""

from pydantic import Field

from connectors.store.remote_settings import RemoteStoreSettings
from core.settings import DeleteSettings


class ObjectSettings(DeleteSettings, RemoteStoreSettings):
    """Settings of all stores on object storage."""

    s3_endpoint: str = Field(
        "",
        description="http(s)://HOST:PORT of an S3-compatible server, for a store at s3://…; empty: Amazon S3. Credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE and so on), never from an address.",
    )

    store_writers: int = Field(
        1,
        ge=1,
        le=64,
        description="Number of processes that write posts to a store on object storage, each to its own table; fixed for the life of a recovery folder.",
    )
