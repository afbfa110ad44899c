"""Read objects in buckets (`gs://` and `s3://`) with fsspec and its drivers.

The drivers take endpoint, region and credentials from their environment. Authors of posts are strangers, who must not
use these credentials. So only buckets that the settings name are read with them, and all others anonymously.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import fsspec

from connectors.deadlines import call_with_timeout
from connectors.fetching.address_policy import AddressPolicy
from connectors.fetching.outcomes import FetchError, Outcome

_URL: Final = re.compile(
    r"(?i:(?P<scheme>gs|s3))://(?P<bucket>[a-z0-9][a-z0-9._-]{1,220}[a-z0-9])/(?P<key>.+)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class _Driver:
    extra: str
    anonymous: Mapping[str, Any]
    """Options for access without credentials."""


_DRIVERS: Final[Mapping[str, _Driver]] = MappingProxyType(
    {"gs": _Driver("gcs", {"token": "anon"}), "s3": _Driver("s3", {"anon": True})}
)
SCHEMES: Final = frozenset(_DRIVERS)


class Buckets:
    """Reads objects within limits of size and time; thread-safe."""

    def __init__(self, allowed: AddressPolicy, *, max_bytes: int, seconds: float) -> None:
        self._allowed = allowed
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._systems: dict[tuple[str, bool], Any] = {}

    def get(self, url: str) -> bytes:
        """Read the object at `<scheme>://<bucket>/<key>`; the key is not URL-decoded. Raises `FetchError`."""
        match = _URL.fullmatch(url)
        if match is None:
            raise FetchError(Outcome.UNSUPPORTED, "not gs://BUCKET/KEY or s3://BUCKET/KEY")
        scheme, bucket, key = match["scheme"].lower(), match["bucket"], match["key"]
        is_ours = f"{scheme}://{bucket}" in self._allowed.buckets
        try:
            data = call_with_timeout(self._seconds, lambda: self._read(scheme, f"{bucket}/{key}", is_ours=is_ours))
        except ImportError:
            extra = _DRIVERS[scheme].extra
            raise FetchError(
                Outcome.UNSUPPORTED, f"{scheme}:// needs a driver: pip install 'memewax[{extra}]'"
            ) from None
        except TimeoutError:
            raise FetchError(Outcome.TIMEOUT, f"incomplete after {self._seconds:g} s") from None
        except FileNotFoundError:
            raise FetchError(Outcome.NOT_FOUND, "no such object") from None
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if not is_ours:
                reason += "; read without credentials, since MEMEWAX_FETCH_ALLOW does not name the bucket"
            raise FetchError(Outcome.UNREACHABLE, reason, again=isinstance(error, ConnectionError)) from error
        if len(data) > self._max_bytes:
            raise FetchError(Outcome.TOO_LARGE, f"more than {self._max_bytes} bytes")
        return data

    def _read(self, scheme: str, path: str, *, is_ours: bool) -> bytes:
        # Create the file system within the timeout too: a driver may first look for credentials on the network.
        system = self._systems.get((scheme, is_ours))
        if system is None:
            options = {} if is_ours else _DRIVERS[scheme].anonymous
            system = self._systems[scheme, is_ours] = fsspec.filesystem(scheme, **options)
        try:
            data: bytes = system.cat_file(path, start=0, end=self._max_bytes + 1)
        except Exception as error:
            if "satisf" in str(error):  # "range not satisfiable": an empty object has no first byte
                return b""
            raise
        return data
