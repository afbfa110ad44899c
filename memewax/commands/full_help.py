"""Help that says all of what there is to say, on a narrow screen too."""

import sys
from typing import Any

from typer.core import TyperGroup


class FullHelp(TyperGroup):
    """A group of commands whose list has each one's first sentence in full: what is cut off helps nobody."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list."""
        names = self.list_commands(ctx)
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.commands[name].get_short_help_str(sys.maxsize)) for name in names])
