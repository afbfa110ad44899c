"""What the settings say of the fields of rows and messages."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from core.settings import Group, one_or_list


class ColumnSettings(Group):
    """How files and topics call the fields of a post."""

    columns: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="How files and topics call the fields of a post, NAME=FIELD, as url=image_url, or a new one, "
        "NAME=FIELD:TYPE; several as a JSON list. Usual names are found without it in files.",
    )

    _listed_columns = field_validator("columns", mode="before")(one_or_list)
