"""The bits of pictures find among which the nearest ones are."""

import numpy as np

from search.picture_bits import PictureBits
from search.vector_index import unit


def test_the_nearest_are_among_those_that_are_found() -> None:
    random = np.random.default_rng(3)
    common = random.normal(size=64)  # what all pictures have in common outweighs what tells them apart
    centres = random.normal(size=(200, 64))
    vectors = unit(
        (3 * common + np.repeat(centres, 20, axis=0) + 0.3 * random.normal(size=(4000, 64))).astype(np.float32)
    )
    bits = PictureBits()
    bits.put(np.arange(3000), vectors[:3000])
    bits.put(np.arange(3000, 4000), vectors[3000:])
    shares = []
    for row in range(0, 4000, 100):
        best = set(np.argsort(-(vectors @ vectors[row]))[:10].tolist())
        shares.append(len(best & set(bits.nearest(vectors[row], 100).tolist())) / 10)
    assert np.mean(shares) > 0.95


def test_what_is_gone_or_was_never_there_is_not_found() -> None:
    vectors = unit(np.random.default_rng(3).normal(size=(10, 8)).astype(np.float32))
    bits = PictureBits()
    assert len(bits.nearest(vectors[0], 5)) == 0
    bits.put(np.array([1, 4, 7]), vectors[:3])
    assert set(bits.nearest(vectors[0], 5).tolist()) == {1, 4, 7}
    bits.drop(np.array([4, 99]))
    assert set(bits.nearest(vectors[0], 5).tolist()) == {1, 7}
    assert bits.nearest(vectors[1], 1).tolist() in ([1], [7])
    assert len(bits.nearest(vectors[0][:4], 5)) == 0
