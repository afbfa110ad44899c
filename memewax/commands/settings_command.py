"""`memewax settings`: all settings, their current values, and the reasons for their defaults."""

import sys
from textwrap import fill, indent
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.text import Text

from core.settings import PREFIX, as_variable
from dataflows.all_settings import Settings, is_secret, load_settings

_INDENT: Final = "    "


def settings(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the settings: variable, current value, and the reason for the default."""
    now = load_settings()
    values = {name: _shown(name, getattr(now, name)) for name in Settings.model_fields}
    if as_json:
        sys.stdout.write(orjson.dumps(values, default=str).decode() + "\n")
        return
    console = Console(highlight=False)
    for name, field in Settings.model_fields.items():
        value = f" = {as_variable(values[name])}".rstrip()
        console.print(Text.assemble((PREFIX + name.upper(), "bold"), value), soft_wrap=True)
        width = console.width - len(_INDENT)
        text = fill(field.description or "", width, break_long_words=False, break_on_hyphens=False)
        print(indent(text, _INDENT))


def _shown(name: str, value: Any) -> Any:
    """Return the value; hide one that may hold a password."""
    return ("(hidden)" if value else "") if is_secret(name) else value
