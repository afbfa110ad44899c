"""Check that a server supports conditional writes (`If-None-Match`): without them, commits overwrite each other."""

from typing import Final
from uuid import uuid4

from connectors.objects.object_tables import ObjectPlace
from core.errors import WorldError, first_line
from core.extras import needs_extra
from core.untrusted_text import shortened

_REFUSED: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_SECONDS: Final = 10.0
_ANY_REGION: Final = "us-east-1"
"""Default if neither the environment nor a profile names a region: self-hosted servers ignore it."""
_RETRIES: Final = {"max_attempts": 5, "mode": "standard"}
_checked: Final[set[tuple[str, str]]] = set()
"""Addresses and servers that passed the check in this process."""


def check_conditional(place: ObjectPlace) -> None:
    """Check that a second conditional write of the same object fails; the object is deleted afterwards.

    gs:// is not checked: Google's API has its own preconditions.

    Raises:
        WorldError: if the bucket cannot be written, or the server rejects or ignores conditional writes.
    """
    if not place.address.startswith("s3://") or (place.address, place.server) in _checked:
        return
    with needs_extra("objects", f"a store at {place.address}"):
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    bucket, _, path = place.address.removeprefix("s3://").partition("/")
    key = f"{path}/.memewax-{uuid4().hex}"
    seconds = min(_SECONDS, place.timeout)
    config = Config(connect_timeout=seconds, read_timeout=seconds, retries=_RETRIES)
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
        cause = shortened(first_line(error), 300)
        raise WorldError(f"{place.address} cannot be written: {cause}") from None
    _checked.add((place.address, place.server))


def _without(place: ObjectPlace, does: str) -> str:
    return (
        f"the server of {place.address} {does} conditional writes (If-None-Match), which keep commits from overwriting "
        "each other: use a server that supports them (Amazon S3, MinIO, Ceph), or a folder"
    )
