"""What can be chosen of the default clusterer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VerifiedParameters:
    """What can be chosen; limits are in deviations above what chance makes (see `PairScores`)."""

    join: float = 6.4
    """A post and its nearest exemplar are of one cluster above this,"""
    join_plain: float = 0.6
    """or this where there is no second look,"""
    crowd: float = 0.9
    """plus so much for each e-fold of clusters, images that are alone included: among more, the nearest stranger is
    nearer. Where most exemplars are of few templates there are few strangers, however many exemplars there are;"""
    crowded: int = 1500
    """up to so many clusters."""
    linkage: float = 4.0
    """A post and a cluster, or two clusters, are on average above this,"""
    cohesion: float = 0.35
    """and above this share of what the members of the cluster are among themselves."""
    weight: float = 0.2
    """Of the embeddings' cosine beside the similarity of the patches."""
    exemplars: int = 64
    """Exemplars of one cluster at most."""
    capacity: int = 100_000
    """Exemplars of all."""
