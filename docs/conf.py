"""Sphinx configuration of the documentation site: `just docs` builds it, strictly."""

import sys
from pathlib import Path

import typer
from typer.cli import get_docs_for_click

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from core import __version__  # noqa: E402
from core.settings import PREFIX  # noqa: E402
from dataflows.all_settings import Settings  # noqa: E402
from memewax.commands.app import app  # noqa: E402

project = "memewax"
copyright = "the memewax maintainers"  # noqa: A001 - Sphinx reads this name
release = version = __version__
root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**", "examples/*.md", "k8s/*.md", "nifi/*.md"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
html_theme = "furo"
html_title = f"memewax {__version__}"
default_role = "code"  # docstrings write code between single backticks


def _settings() -> str:
    """Return the reference of settings as Markdown."""
    lines = ["# Settings", "", "Each is a variable `MEMEWAX_…` or a line of `memewax.toml`; a variable wins.", ""]
    lines += ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in sorted(Settings.model_fields.items()):
        default = "" if field.default is None else str(field.get_default(call_default_factory=True))
        meaning = (field.description or "").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
        lines.append(f"| `{PREFIX}{name.upper()}` | `{default or ' '}` | {meaning} |")
    return "\n".join(lines) + "\n"


def _commands() -> str:
    """Return the reference of commands as Markdown, from their help."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="memewax")
    return get_docs_for_click(obj=command, ctx=context, name="memewax", title="Commands")


for _name, _text in (("settings", _settings()), ("commands", _commands())):
    (Path(__file__).parent / "reference" / f"{_name}.md").write_text(_text)
