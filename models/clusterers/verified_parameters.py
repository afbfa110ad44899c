"""Parameters of the default clusterer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VerifiedParameters:
    """Parameters of `VerifiedClusterer`. Limits are z-scores: deviations above random pairs (see `PairScores`)."""

    join: float = 6.4
    """A post joins the cluster of its nearest exemplar only above this score,"""
    join_plain: float = 0.6
    """or this one if one of the two has no patches to verify,"""
    crowd: float = 0.9
    """plus this for each e-fold of clusters, single images included: among more of them, the nearest unrelated one is
    nearer. The number of exemplars does not count: those of few templates are not unrelated;"""
    crowded: int = 1500
    """clusters beyond this number add nothing."""
    linkage: float = 4.0
    """The mean score of a post and a cluster, or of two clusters, must exceed this,"""
    cohesion: float = 0.35
    """and this share of the mean score among the members of the cluster."""
    weight: float = 0.2
    """Of the cosine of the embeddings, which is added to the similarity of the patches."""
    exemplars: int = 64
    """Exemplars per cluster at most."""
    capacity: int = 100_000
    """Exemplars of all clusters at most."""
