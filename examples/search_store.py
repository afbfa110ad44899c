"""Search a store by a sentence, or by an image, and show the clusters that the hits belong to.

python examples/search_store.py ./store "a cat in a box"
python examples/search_store.py ./store meme.jpg
"""

import sys
from pathlib import Path

import memewax


def main() -> None:
    """Print the five best hits with their clusters."""
    address, wanted = sys.argv[1:3]
    store = memewax.open_store(address)
    hits = store.search_image(Path(wanted), k=5) if Path(wanted).is_file() else store.search(wanted, k=5)
    for hit in hits:
        post = store.post(hit.id) or {}
        print(f"{hit.similarity:.3f}", hit.id, f"cluster {post.get('current_cluster')}", hit.text.replace("\n", " / "))


if __name__ == "__main__":
    main()
