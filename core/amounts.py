"""Parse integers as web pages and tables show them."""

import re
from typing import Any, Final

_COUNT: Final = re.compile(r"([+-]?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE]\+?[0-9]{1,2})?) ?([kKmM]?)")
_THOUSANDS: Final = re.compile(r"(?<=[0-9])[,'_\u00a0\u202f ](?=[0-9]{3}(?![0-9]))")
_UNITS: Final = {"": 1, "k": 1_000, "m": 1_000_000}


def count_of(value: Any) -> int | None:
    """Parse an integer such as `1.2k`, `3M`, `1,234`, `1e3` or `17.0`, rounded; None if `value` is not a number.

    >>> count_of("1.2k"), count_of("1,234"), count_of("many")
    (1200, 1234, None)
    """
    found = _COUNT.fullmatch(without_thousands(str(value)))
    if isinstance(value, bool) or found is None:
        return None
    unit = _UNITS[found[2].lower()]
    return int(found[1]) * unit if found[1].lstrip("+-").isdecimal() else round(float(found[1]) * unit)


def without_thousands(text: str) -> str:
    """Remove thousands separators and surrounding whitespace."""
    return _THOUSANDS.sub("", text.strip())
