"""Where the numbers of a run begin: no cluster id and no revision that its stores hold is given again."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from connectors.run_identity import identity_of
from operators.recovery_places import has_snapshots

if TYPE_CHECKING:
    from connectors.store.interface import StorePlace


def _none_before(_: str) -> int:
    return 0


class FirstNumbers(NamedTuple):
    """What the stores of a run held when it began."""

    above: int = -1
    """The highest id of a cluster that another run gave."""
    revision_of: Callable[[str], int] = _none_before
    """The revision of a post by its `global_id`; 0: it was not there."""


def first_numbers(stores: "Sequence[StorePlace]", recovery: Path | None, accept: Callable[[int], None]) -> FirstNumbers:
    """Note in each store that a run with this recovery folder writes it; gives what was there before.

    Args:
        stores: Those that it writes.
        recovery: Of the run; None where it takes no snapshots.
        accept: Raises what is wrong with beginning above an id.

    Raises:
        WorldError: where one of them cannot be read or written.
    """
    if not stores:
        return FirstNumbers()
    from connectors.store.cluster_ids import begin  # late, since they bring the store
    from connectors.store.stored_revisions import revisions_of

    identity, goes_on = identity_of(recovery), recovery is not None and has_snapshots(recovery)
    above = max(begin(store, identity, goes_on=goes_on, accept=accept) for store in stores)
    return FirstNumbers(above, revisions_of(stores))
