"""Run the models over images, without a flow: one line of JSON for each.

python examples/analyze_images.py *.jpg
"""

import sys

import orjson

import memewax


def main() -> None:
    """Print what the models find in each image."""
    analyze = memewax.Analyzer()
    for path, found in zip(sys.argv[1:], analyze(sys.argv[1:]), strict=True):
        text = found.reading.as_read if found.reading else None
        row = {"image": path, "text": text, "entities": found.entities, "sentiment": found.sentiment}
        sys.stdout.buffer.write(orjson.dumps(row | {"failures": found.failures}) + b"\n")


if __name__ == "__main__":
    main()
