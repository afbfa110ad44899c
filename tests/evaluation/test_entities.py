from hypothesis import given
from hypothesis import strategies as st

from memewax.evaluation.eval_entities import CASINGS, broken


def test_lines_break_at_blanks() -> None:
    assert broken("when you see a cat in the house", 10) == "when you\nsee a cat\nin the\nhouse"
    assert broken("Donaudampfschifffahrt ahoy you", 5) == "Donaudampfschifffahrt\nahoy\nyou"


@given(st.text())
def test_spans_stay_what_they_are(text: str) -> None:
    assert all(len(casing(text)) == len(text) for casing in CASINGS.values())
    assert broken(text, 7).replace("\n", " ") == text.replace("\n", " ")
