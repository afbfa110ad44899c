"""Writes posts into the store of an address until it is killed; says each number that is there for sure."""

import sys
from itertools import count
from pathlib import Path

from connectors.endpoints import open_store
from dataflows.all_settings import load_settings
from tests.connectors.store.dealt import Dealt
from tests.connectors.store.test_removed_posts import row
from tests.factories import POSTS

BATCH = 20


def batch(number: int) -> list[dict[str, object]]:
    return [row(f"{number}-{place}") for place in range(BATCH)]


if __name__ == "__main__":
    address, state = sys.argv[1:]
    writer = Dealt(open_store(address, load_settings(), Path(state)), POSTS)
    for number in count():
        writer.upsert(batch(number))
        print(number, flush=True)
