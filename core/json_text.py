"""Lenient JSON parsing: Python, pandas and R write NaN and Infinity for missing numbers."""

import json
from typing import Any

import orjson


def json_of(data: bytes) -> Any:
    """Parse a JSON value; NaN, Infinity and numbers beyond the range of a double become None.

    Args:
        data: JSON in UTF-8.

    Raises:
        orjson.JSONDecodeError: if it is not JSON apart from such numbers.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in data and b"Infinity" not in data and "infinity" not in str(error):
            raise
        try:
            value = json.loads(data, parse_constant=lambda _: None, parse_int=orjson.loads)
            return orjson.loads(orjson.dumps(value))  # refuses lone surrogates, which UTF-8 cannot encode
        except (ValueError, TypeError, RecursionError):
            raise error from None
