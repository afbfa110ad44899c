"""JSON as others write it: Python, pandas and R put NaN and Infinity where there is no number."""

import json
from typing import Any

import orjson


def json_of(data: bytes) -> Any:
    """Read a value of JSON, numbers that are none or beyond a double as null.

    Args:
        data: UTF-8.

    Raises:
        orjson.JSONDecodeError: where it is no JSON but for such numbers.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in data and b"Infinity" not in data and "infinity" not in str(error):
            raise
        try:
            value = json.loads(data, parse_constant=lambda _: None, parse_int=orjson.loads)
            return orjson.loads(orjson.dumps(value))  # without letters that UTF-8 cannot hold
        except (ValueError, TypeError, RecursionError):
            raise error from None
