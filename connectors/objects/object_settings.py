"""Settings of stores on object storage."""

from pydantic import Field

from connectors.store.remote_settings import RemoteStoreSettings
from core.settings import DeleteSettings


class ObjectSettings(DeleteSettings, RemoteStoreSettings):
    """Every store on object storage."""

    s3_endpoint: str = Field(
        "",
        description="http(s)://HOST:PORT of a server that speaks S3's protocol, for a store at s3://…; empty: Amazon's. Credentials are those of the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE and so on), never in an address.",
    )

    store_writers: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that write posts to a store on object storage, each a table of its own; fixed for the life of a recovery folder.",
    )
