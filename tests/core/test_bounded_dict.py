"""What is remembered is bounded."""

import pickle

from core.bounded_dict import BoundedDict


def test_the_oldest_are_forgotten() -> None:
    seen: BoundedDict[str, int] = BoundedDict(3)
    for number, name in enumerate("abcdb"):
        seen[name] = number
    assert list(seen.items()) == [("b", 4), ("c", 2), ("d", 3)]


def test_of_more_than_fit_the_newest_stay() -> None:
    assert list(BoundedDict(2, {"a": 1, "b": 2, "c": 3}.items())) == ["b", "c"]


def test_a_snapshot_is_a_plain_dict() -> None:
    plain = dict(BoundedDict(2, {"a": 1}.items()))
    assert type(plain) is dict
    assert b"Bounded" not in pickle.dumps(plain)
