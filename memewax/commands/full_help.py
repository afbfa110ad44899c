"""Help texts that are never truncated, even on a narrow terminal."""

import sys
from typing import Any

from typer.core import TyperGroup


class FullHelp(TyperGroup):
    """A group of commands that lists each command's first sentence in full: a truncated sentence does not help."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        names = self.list_commands(ctx)
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.commands[name].get_short_help_str(sys.maxsize)) for name in names])
