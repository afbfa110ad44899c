"""Models: batch in, batch out. A model knows nothing of Bytewax."""

import os

# Two habits of torch on a CPU that a stream does not bear. Both are read once, when torch loads, so this is the place.
#
# Its threads spin while they wait for each other. Where a broker or another process wants the same cores, one picture
# took 2 s instead of 0.15 s; asleep they cost nothing measurable.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# It keeps 1024 compiled kernels, some thirty for every shape of picture: OCR of 60 pictures grew by 2 GB and went on.
# With 64 it stays where it was, at the same speed.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
