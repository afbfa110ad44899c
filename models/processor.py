"""The CPU of this machine: its name, and the number formats that it has instructions for."""

import platform
from functools import cache
from pathlib import Path
from typing import Final

_INSTRUCTIONS: Final = {
    "bf16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "int8": frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}),
}
"""CPU flags, any of which means fast products of that precision; the last ones of each are ARM's."""
_NAMES: Final = ("model name", "cpu family", "model", "stepping", "CPU implementer", "CPU part")


def has_instructions_for(precision: str) -> bool:
    """Check whether the CPU has instructions for products of `precision`; these are not always faster."""
    return precision not in _INSTRUCTIONS or bool(_INSTRUCTIONS[precision] & _flags())


def processor() -> str:
    """Return a line that identifies the CPU. Machines with the same line can share measurements of speed."""
    facts = _facts()
    model = [facts[name] for name in _NAMES if name in facts]
    known = sorted(set.union(*map(set, _INSTRUCTIONS.values())) & _flags())
    return " ".join([*(model or [platform.processor() or platform.machine()]), *known])


def _flags() -> frozenset[str]:
    facts = _facts()
    return frozenset((facts.get("flags") or facts.get("Features") or "").split())


@cache
def _facts() -> dict[str, str]:
    """Read what /proc/cpuinfo says of the first core; empty on systems other than Linux."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
