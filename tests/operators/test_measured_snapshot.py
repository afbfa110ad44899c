"""Snapshots are measured when they are pickled, and what is read back knows nothing of that."""

import pickle
import pickletools

from prometheus_client import REGISTRY

from operators.measured_snapshot import take_snapshot


def counted(name: str) -> float:
    return REGISTRY.get_sample_value(name, {"step": "a step"}) or 0.0


def test_a_state_comes_back_as_it_was_and_its_bytes_are_counted() -> None:
    state = {"version": 1, "long": b"x" * 10_000}
    before = counted("memewax_snapshot_bytes_sum"), counted("memewax_snapshot_seconds_count")
    pickled = pickle.dumps(take_snapshot("a step", lambda: state))
    assert pickle.loads(pickled) == state
    assert counted("memewax_snapshot_bytes_sum") - before[0] == len(pickle.dumps(state))
    assert counted("memewax_snapshot_seconds_count") - before[1] == 1


def test_nothing_of_ours_is_named_in_it() -> None:
    """State outlives code: a later version may have no such module."""
    pickled = pickle.dumps(take_snapshot("a step", lambda: {"version": 1}))
    named = [str(argument) for _, argument, _ in pickletools.genops(pickled) if isinstance(argument, str)]
    assert named
    assert not [name for name in named if "operators" in name or "memewax" in name]


def test_what_is_never_pickled_is_not_counted() -> None:
    before = counted("memewax_snapshot_seconds_count")
    take_snapshot("a step", dict)
    assert counted("memewax_snapshot_seconds_count") == before
