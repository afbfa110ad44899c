"""Adapter from `Clusterer` to river, to use our clusterers in river's pipelines and evaluations."""

from collections.abc import Hashable
from typing import Any

import numpy as np
from river import base

from core.records import Vector
from models.clusterers.choice import named_clusterer

NEW_CLUSTER = -1
"""Prediction for an item that would start a new cluster."""


class RiverAdapter(base.Clusterer):
    """One of our clusterers as a `river.base.Clusterer`.

    An item is a dict of the numbers of an embedding; it needs no particular length. The features are those of the first
    item learned, sorted by name. As river expects, later items may lack some, which count as 0, and unknown ones are
    ignored. The adapter pickles the clusterer's own snapshot.

    Args:
        name: As in MEMEWAX_CLUSTERER.
        parameters: Parameters of that clusterer.

    >>> clusterer = RiverAdapter("dbstream", clustering_threshold=0.5)
    >>> for x in ({"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}, {"a": 0.9, "b": 0.1}):
    ...     clusterer.learn_one(x)
    >>> clusterer.predict_one({"a": 0.0, "b": 1.0})
    1
    """

    def __init__(self, name: str = "verified", **parameters: Any) -> None:
        """Build the clusterer; raises `SettingsError` if the name or a parameter is unknown."""
        self.name = name
        self.parameters = parameters
        self._clusterer = named_clusterer(name, parameters)
        self._features: list[Hashable] | None = None

    @property
    def n_clusters(self) -> int:
        """Count the clusters that exist now."""
        return self._clusterer.count()

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Learn one item; raises `BadRecordError` if a number is not finite."""
        features = _sorted(x) if self._features is None else self._features
        self._clusterer.learn(_vector(x, features))
        self._features = features
        self._clusterer.events()  # river has no use for them, and they would accumulate

    def predict_one(self, x: dict[Any, Any]) -> int:
        """Return the cluster that an item would join, or `NEW_CLUSTER`; learn nothing."""
        if self._features is None:
            return NEW_CLUSTER
        found = self._clusterer.predict(_vector(x, self._features))
        return NEW_CLUSTER if found is None else found

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters, the features and the clusterer's snapshot."""
        return {
            "name": self.name,
            "parameters": self.parameters,
            "features": self._features,
            "clusterer": self._clusterer.state(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what `__getstate__` returned."""
        self.name, self.parameters, self._features = state["name"], state["parameters"], state["features"]
        self._clusterer = named_clusterer(self.name, self.parameters)
        self._clusterer.restore(state["clusterer"])


def _sorted(x: dict[Any, Any]) -> list[Hashable]:
    try:
        return sorted(x)
    except TypeError:  # names of several types
        return sorted(x, key=repr)


def _vector(x: dict[Any, Any], features: list[Hashable]) -> Vector:
    """Return the features' numbers in order, 0 for missing ones: float32, shape (len(features),)."""
    return np.fromiter((x.get(it, 0.0) for it in features), np.float32, len(features))
