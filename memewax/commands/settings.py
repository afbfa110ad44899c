"""`memewax settings`: what can be set, what it is now, and why."""

import sys
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from memewax.settings import PREFIX, Settings, is_secret, load_settings


def settings(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the settings: variable, value now, and the reason for its default."""
    now = load_settings()
    values = {name: _shown(name, getattr(now, name)) for name in Settings.model_fields}
    if as_json:
        sys.stdout.write(orjson.dumps(values, default=str).decode() + "\n")
        return
    table = Table("variable", "value", "what it is")
    for name, field in Settings.model_fields.items():
        table.add_row(PREFIX + name.upper(), str(values[name]), field.description)
    Console().print(table)


def _shown(name: str, value: Any) -> Any:
    """The value, or for what may hold a password only whether there is one."""
    return ("(hidden)" if value else "") if is_secret(name) else value
