"""The setting that names what strangers' addresses may lead to."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from core.settings import Group, split_at_commas


class AllowSettings(Group):
    """What may be reached besides the public web, where a stranger chose the address."""

    fetch_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="What posts, and redirects of feeds, may name besides the public web: networks (10.0.0.0/8), hosts (images.internal), and buckets to read with this machine's credentials (gs://images).",
    )

    _split_fetch_allow = field_validator("fetch_allow", mode="before")(split_at_commas)
