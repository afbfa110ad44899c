"""The setting with exceptions to the SSRF guard."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from core.settings import Group, split_at_commas


class AllowSettings(Group):
    """Addresses besides the public web to which untrusted URLs may lead."""

    fetch_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses besides the public web that URLs of posts and redirects of feeds may lead to: networks (10.0.0.0/8), hosts (images.internal), and buckets to read with this machine's credentials (gs://images).",
    )

    _split_fetch_allow = field_validator("fetch_allow", mode="before")(split_at_commas)
