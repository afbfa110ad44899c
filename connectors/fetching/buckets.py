"""Objects in buckets, `gs://` and `s3://`, through fsspec and its drivers.

The drivers take endpoint, region and credentials from their own environment. A post is a stranger's, to whom those
credentials do not belong: they are used for buckets that the settings name, and any other bucket is read as the public
reads it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import fsspec

from connectors.deadlines import call_within
from connectors.fetching.address_policy import AddressPolicy
from connectors.fetching.outcomes import FetchError, Outcome

_URL: Final = re.compile(
    r"(?i:(?P<scheme>gs|s3))://(?P<bucket>[a-z0-9][a-z0-9._-]{1,220}[a-z0-9])/(?P<key>.+)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class _Driver:
    extra: str
    as_anybody: Mapping[str, Any]
    """Options with which it uses no credentials."""


_DRIVERS: Final[Mapping[str, _Driver]] = MappingProxyType(
    {"gs": _Driver("gcs", {"token": "anon"}), "s3": _Driver("s3", {"anon": True})}
)
SCHEMES: Final = frozenset(_DRIVERS)


class Buckets:
    """Reads objects within limits; its methods may be called by many threads."""

    def __init__(self, allowed: AddressPolicy, *, max_bytes: int, seconds: float) -> None:
        self._allowed = allowed
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._systems: dict[tuple[str, bool], Any] = {}

    def get(self, url: str) -> bytes:
        """What `<scheme>://<bucket>/<key>` holds; the key is taken as it stands. Raises `FetchError`."""
        match = _URL.fullmatch(url)
        if match is None:
            raise FetchError(Outcome.UNSUPPORTED, "not gs://BUCKET/KEY or s3://BUCKET/KEY")
        scheme, bucket, key = match["scheme"].lower(), match["bucket"], match["key"]
        is_ours = f"{scheme}://{bucket}" in self._allowed.buckets
        try:
            data = call_within(self._seconds, lambda: self._read(scheme, f"{bucket}/{key}", is_ours=is_ours))
        except ImportError:
            extra = _DRIVERS[scheme].extra
            raise FetchError(
                Outcome.UNSUPPORTED, f"{scheme}:// needs a driver: pip install 'memewax[{extra}]'"
            ) from None
        except TimeoutError:
            raise FetchError(Outcome.TIMEOUT, f"not there after {self._seconds:g} s") from None
        except FileNotFoundError:
            raise FetchError(Outcome.NOT_FOUND, "no such object") from None
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if not is_ours:
                reason += "; read as anybody may, since MEMEWAX_FETCH_ALLOW does not name the bucket"
            raise FetchError(Outcome.UNREACHABLE, reason, again=isinstance(error, ConnectionError)) from error
        if len(data) > self._max_bytes:
            raise FetchError(Outcome.TOO_LARGE, f"more than {self._max_bytes} bytes")
        return data

    def _read(self, scheme: str, path: str, *, is_ours: bool) -> bytes:
        # Made within the time too: a driver may look for credentials in the network first.
        system = self._systems.get((scheme, is_ours))
        if system is None:
            options = {} if is_ours else _DRIVERS[scheme].as_anybody
            system = self._systems[scheme, is_ours] = fsspec.filesystem(scheme, **options)
        try:
            data: bytes = system.cat_file(path, start=0, end=self._max_bytes + 1)
        except Exception as error:
            if "satisf" in str(error):  # "range not satisfiable": an empty object has no first byte
                return b""
            raise
        return data
