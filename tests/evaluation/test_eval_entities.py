from hypothesis import given
from hypothesis import strategies as st

from memewax.evaluation.eval_entities import CASINGS, break_lines


def test_lines_break_at_blanks() -> None:
    assert break_lines("when you see a cat in the house", 10) == "when you\nsee a cat\nin the\nhouse"
    assert break_lines("Donaudampfschifffahrt ahoy you", 5) == "Donaudampfschifffahrt\nahoy\nyou"


@given(st.text())
def test_spans_stay_what_they_are(text: str) -> None:
    assert all(len(casing(text)) == len(text) for casing in CASINGS.values())
    assert break_lines(text, 7).replace("\n", " ") == text.replace("\n", " ")
