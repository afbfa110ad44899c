"""First free cluster ids and revisions of a run, so that none that its stores contain is assigned again."""

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
    """The ids and revisions in the stores of a run when it started."""

    above: int = -1
    """Highest cluster id that another run assigned."""
    revision_of: Callable[[str], int] = _none_before
    """Returns the last revision of a post by its `global_id`; 0: none."""


def first_numbers(stores: "Sequence[StorePlace]", recovery: Path | None, accept: Callable[[int], None]) -> FirstNumbers:
    """Register the run with this recovery folder as a writer of each store; returns the ids and revisions found there.

    Args:
        stores: The stores that the run writes.
        recovery: Recovery folder of the run; None if it takes no snapshots.
        accept: Raises an error if cluster ids cannot start above the given one.

    Raises:
        WorldError: if a store cannot be read or written.
    """
    if not stores:
        return FirstNumbers()
    from connectors.store.cluster_ids import begin  # imported late, since it imports the store
    from connectors.store.stored_revisions import revisions_of

    identity, goes_on = identity_of(recovery), recovery is not None and has_snapshots(recovery)
    above = max(begin(store, identity, goes_on=goes_on, accept=accept) for store in stores)
    return FirstNumbers(above, revisions_of(stores))
