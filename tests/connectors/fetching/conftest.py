"""Clients of the web that are closed after their test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from connectors.fetching.address_policy import AddressPolicy
from connectors.fetching.web import WebFetcher, WebLimits

_closing = ExitStack()


def web_fetcher(limits: WebLimits, allowed: AddressPolicy, **more: Callable[..., Any]) -> WebFetcher:
    """A client for the time of a test: connections that nobody closes are a warning."""
    made = WebFetcher(limits, allowed, **more)
    _closing.callback(made.close)
    return made


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    _closing.close()
