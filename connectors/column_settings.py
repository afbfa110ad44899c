"""Settings that map fields of files and messages to those of posts."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from core.settings import Group, one_or_list


class ColumnSettings(Group):
    """Names of a post's fields in files and topics."""

    columns: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Names of a post's fields in files and topics, NAME=FIELD, such as url=image_url, or a custom column, "
        "NAME=FIELD:TYPE; several as a JSON list. In files usual names are found without it.",
    )

    _listed_columns = field_validator("columns", mode="before")(one_or_list)
