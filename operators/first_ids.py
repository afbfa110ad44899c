"""Above which id the clusters of a run begin: an id is for life in each store that the run writes."""

from collections.abc import Callable, Sequence
from pathlib import Path

from operators.recovery_places import has_snapshots


def ids_above(stores: Sequence[Path], recovery: Path | None, accept: Callable[[int], None]) -> int:
    """Note in each store that a run with this recovery folder writes it; gives the highest id that another run gave.

    Args:
        stores: Folders.
        recovery: Of the run; None where it takes no snapshots.
        accept: Raises what is wrong with beginning above an id.

    Raises:
        WorldError: where one of them cannot be read or written.
    """
    if not stores:
        return -1
    from connectors.store.cluster_ids import begin, identity_of  # late, since it brings the store

    identity, goes_on = identity_of(recovery), recovery is not None and has_snapshots(recovery)
    return max(begin(store, identity, goes_on=goes_on, accept=accept) for store in stores)
