"""Models: batch in, batch out. A model knows nothing of Bytewax."""

import os

# torch's threads spin while they wait for each other. Where a broker or another process wants the same cores, that made
# one picture take 2 s instead of 0.15 s; asleep they cost nothing measurable. OpenMP reads this once, when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
