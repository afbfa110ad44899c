"""Run the flow from Python: posts of a file into a store.

python examples/run_flow.py posts.jsonl ./store
"""

import sys

from bytewax.testing import run_main

import memewax


def main() -> None:
    """Read the posts of a file, analyse them, and write them to a store."""
    source, store = sys.argv[1:3]
    run_main(memewax.build_flow(source, store))
    print(memewax.open_store(store).posts(["global_id"]).num_rows, "posts")


if __name__ == "__main__":
    main()
