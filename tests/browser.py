"""A browser to look through, where there is one."""

import html
import re
import shutil
import subprocess
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_FRAME = """<!doctype html><iframe width="{width}" height="800" srcdoc="{page}"></iframe><script>
onload = () => {{
  const root = document.querySelector("iframe").contentDocument.documentElement;
  document.title = `${{root.clientWidth}} wide, ${{root.scrollWidth}} to scroll`;
}};
</script>"""


def browse(page: Path, profile: Path, *options: str) -> str:
    """What the browser says, by its options, of a page."""
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={profile}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def widths(page: Path, folder: Path, width: int) -> tuple[int, int]:
    """How wide a page is at a screen of `width` pixels, and how far it can be scrolled.

    It is looked at in a frame, since a window of the browser is never as narrow as a phone.
    """
    frame = folder / "frame.html"
    frame.write_text(_FRAME.format(width=width, page=html.escape(page.read_text())))
    found = re.search(r"<title>(\d+) wide, (\d+) to scroll", browse(frame, folder / "frame", "--dump-dom"))
    assert found, "the frame was not loaded"
    return int(found[1]), int(found[2])
