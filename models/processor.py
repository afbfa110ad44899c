"""What the processor of this machine is, and which numbers it has instructions for."""

import platform
from functools import cache
from pathlib import Path
from typing import Final

_INSTRUCTIONS: Final = {
    "bf16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "int8": frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}),
}
"""Any of these multiplies numbers of that precision; the last ones of each are ARM's."""
_NAMES: Final = ("model name", "cpu family", "model", "stepping", "CPU implementer", "CPU part")


def has_instructions_for(precision: str) -> bool:
    """Whether the processor multiplies numbers of `precision` in one step; it need not be faster by them."""
    return precision not in _INSTRUCTIONS or bool(_INSTRUCTIONS[precision] & _flags())


def processor() -> str:
    """Which processor it is, as one line: two of one name multiply as fast."""
    facts = _facts()
    told = [facts[name] for name in _NAMES if name in facts]
    known = sorted(set.union(*map(set, _INSTRUCTIONS.values())) & _flags())
    return " ".join([*(told or [platform.processor() or platform.machine()]), *known])


def _flags() -> frozenset[str]:
    facts = _facts()
    return frozenset((facts.get("flags") or facts.get("Features") or "").split())


@cache
def _facts() -> dict[str, str]:
    """What Linux says of the first core; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
