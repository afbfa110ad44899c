"""Whether a server refuses to write over what is there: without that, one commit would overwrite another."""

from typing import Final
from uuid import uuid4

from connectors.objects.object_tables import ObjectPlace
from core.errors import WorldError, first_line
from core.extras import needs_extra
from core.untrusted_text import shortened

_REFUSED: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_SECONDS: Final = 10.0
_ANY_REGION: Final = "us-east-1"
"""Where neither the environment nor a profile names one: servers of one's own do not look at it."""
_SLOWED: Final = {"max_attempts": 5, "mode": "standard"}
_seen: Final[set[tuple[str, str]]] = set()
"""Places that were found right by this process."""


def check_conditional(place: ObjectPlace) -> None:
    """Write an object and try to write it again, only if it is not there; it is removed in the end.

    What gs:// is written through has conditions of its own, and is not looked at.

    Raises:
        WorldError: where it cannot be written, or the server refuses or ignores such conditions.
    """
    if not place.address.startswith("s3://") or (place.address, place.server) in _seen:
        return
    with needs_extra("objects", f"a store at {place.address}"):
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    bucket, _, path = place.address.removeprefix("s3://").partition("/")
    key = f"{path}/.memewax-{uuid4().hex}"
    seconds = min(_SECONDS, place.timeout)
    config = Config(connect_timeout=seconds, read_timeout=seconds, retries=_SLOWED)
    try:
        session = boto3.Session()
        region = session.region_name or _ANY_REGION
        client = session.client("s3", endpoint_url=place.server or None, config=config, region_name=region)
        try:
            client.put_object(Bucket=bucket, Key=key, Body=b"1", IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] in {"NotImplemented", "InvalidArgument", "InvalidRequest"}:
                raise WorldError(_without(place, "refuses")) from None
            raise
        try:
            client.put_object(Bucket=bucket, Key=key, Body=b"2", IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] not in _REFUSED:
                raise
        else:
            raise WorldError(_without(place, "ignores"))
        finally:
            client.delete_object(Bucket=bucket, Key=key)
    except (BotoCoreError, ClientError) as error:
        told = shortened(first_line(error), 300)
        raise WorldError(f"{place.address} cannot be written: {told}") from None
    _seen.add((place.address, place.server))


def _without(place: ObjectPlace, does: str) -> str:
    return (
        f"the server of {place.address} {does} writes on condition that nothing is there (If-None-Match), by which "
        "commits do not overwrite each other: take one that has them (Amazon S3, MinIO, Ceph), or a folder"
    )
