import pytest

from memewax.evaluation.texts import FORMS, count, fold, rates


def test_fold() -> None:
    assert fold("  It's\n3 O'CLOCK, Straße! ") == "it s 3 o clock strasse"


@pytest.mark.parametrize(
    ("read", "cer", "wer", "word_f1"),
    [
        ("hello, ROME!", 0, 0, 1),
        ("Hello\nRome.", 0, 0, 1),
        ("Hello Rone", 1 / 10, 1 / 2, 1 / 2),
        ("", 1, 1, 0),
        ("rome hello", None, 1, 1),
        ("hello rome rome", 5 / 10, 1 / 2, 4 / 5),
    ],
)
def test_rates(read: str, cer: float | None, wer: float, word_f1: float) -> None:
    found = rates(count(["Hello Rome"], [read]))
    assert cer is None or found["cer"] == pytest.approx(cer)
    assert found["wer"] == pytest.approx(wer)
    assert found["word_f1"] == pytest.approx(word_f1)


def test_forms_differ_in_what_they_forgive() -> None:
    found = {name: rates(count(["Hello, Rome"], ["hello Rome"], form))["wer"] for name, form in FORMS.items()}
    assert found == {"": 0, "case_folded": 1 / 2, "as_is": 1 / 2}
    assert rates(count(["Hello, Rome"], ["HELLO, ROME"], FORMS["case_folded"]))["cer"] == 0


def test_a_long_text_weighs_more_than_a_short_one() -> None:
    assert rates(count(["a b c", "d"], ["a b c", "e"]))["wer"] == pytest.approx(1 / 4)


def test_text_where_there_is_none_is_all_wrong() -> None:
    assert count(["..."], ["two words"]).tolist() == [[9, 0, 2, 0, 0, 2]]


def test_nothing_to_read_and_nothing_read_is_no_mistake() -> None:
    assert rates(count([], [])) == {"cer": 0, "wer": 0, "word_f1": 1}
