"""Captions of the demo's images, labelled by a person."""

from dataclasses import dataclass
from typing import Final, Literal

Mood = Literal["negative", "neutral", "positive"]


@dataclass(frozen=True, slots=True)
class Caption:
    """Two phrases for one template; a person labelled them, not a model."""

    template: str
    top: str
    bottom: str
    mood: Mood
    desc: str
    """The post's own caption."""
    entities: tuple[tuple[str, str], ...] = ()
    """Named entities of the two phrases: text and OntoNotes label."""


CAPTIONS: Final = (
    Caption("astronaut", "Packed for a weekend in Houston", "Brought the whole wardrobe", "neutral",
            "Travelling light", (("Houston", "GPE"),)),
    Caption("astronaut", "I LOVE MY NEW OFFICE", "THE VIEW IS WONDERFUL", "positive", "First day at work"),
    Caption("astronaut", "NASA called on Monday", "I was on another planet", "neutral",
            "Sorry, bad reception", (("NASA", "ORG"), ("Monday", "DATE"))),
    Caption("astronaut", "Eileen Collins flew to space in 1995", "What a proud and happy day", "positive",
            "A pilot worth knowing", (("Eileen Collins", "PERSON"), ("1995", "DATE"))),
    Caption("astronaut", "THE HELMET IS TOO SMALL", "THE GLOVES ARE HORRIBLE", "negative", "One star, would not orbit"),
    Caption("photographer", "One more image of Boston", "Then we can go home", "neutral",
            "He said that an hour ago", (("Boston", "GPE"),)),
    Caption("photographer", "LENS CAP ON ALL DAY", "I AM SO SAD ABOUT IT", "negative", "Three rolls of film"),
    Caption("photographer", "Waiting for the pigeon to smile", "Since last Tuesday", "neutral",
            "Patience is a skill", (("last Tuesday", "DATE"),)),
    Caption("photographer", "BEST WALK EVER", "EVERY SHOT IS AMAZING", "positive", "Golden hour, in grey"),
    Caption("cat", "I HATE MORNINGS", "AND THE EMPTY BOWL IS TERRIBLE", "negative", "Five in the morning"),
    Caption("cat", "You came back from Paris", "You smell of another cat", "neutral",
            "The interrogation begins", (("Paris", "GPE"),)),
    Caption("cat", "THE BOX ARRIVED", "I LIVE HERE NOW", "neutral", "New flat"),
    Caption("cat", "Thank you for the tuna", "You are a wonderful human", "positive", "Note left on the fridge"),
    Caption("cat", "Amazon sent a lamp", "I only wanted the box", "neutral",
            "Two parcels, one of them useful", (("Amazon", "ORG"),)),
    Caption("coffee", "MONDAY IS AWFUL", "AND THE CUP IS EMPTY", "negative", "A short story", (("Monday", "DATE"),)),
    Caption("coffee", "GOOD MORNING", "TODAY WILL BE GREAT", "positive", "Optimism, 25 ml"),
    Caption("coffee", "Invented in Italy in 1901", "Finished in one sip", "neutral",
            "Espresso, a history", (("Italy", "GPE"), ("1901", "DATE"))),
    Caption("coffee", "Maria said one cup", "She did not say how big", "neutral",
            "Rules are rules", (("Maria", "PERSON"),)),
    Caption("coffee", "DECAF WAS A MISTAKE", "I REGRET EVERYTHING", "negative", "Never again"),
    Caption("rocket", "Next stop Mars", "No change at Jupiter", "neutral",
            "Mind the gap", (("Mars", "LOC"), ("Jupiter", "LOC"))),
    Caption("rocket", "THREE TWO ONE", "WHERE IS MY SANDWICH", "neutral", "Checklist"),
    Caption("rocket", "SpaceX parked in Florida", "The meter is running", "neutral",
            "Short stay only", (("SpaceX", "ORG"), ("Florida", "GPE"))),
    Caption("rocket", "A BEAUTIFUL LAUNCH", "THE CREW IS PROUD", "positive", "Well done, everyone"),
    Caption("rocket", "BAD WEATHER AGAIN", "THE DELAY IS ANNOYING", "negative", "Scrubbed"),
    Caption("galaxies", "Hubble looked for ten days", "My phone sees one dot", "neutral",
            "Camera comparison", (("ten days", "DATE"),)),
    Caption("galaxies", "SO MANY GALAXIES", "AND NOWHERE TO PARK", "neutral", "Round and round"),
    Caption("galaxies", "WHAT A BEAUTIFUL NIGHT", "I LOVE BEING TINY", "positive", "Perspective"),
    Caption("galaxies", "Dropped my keys in December 2003", "Still looking", "neutral",
            "They must be here somewhere", (("December 2003", "DATE"),)),
    Caption("coins", "Found these in Athens", "The vending machine is not amused", "negative",
            "Exact change only", (("Athens", "GPE"),)),
    Caption("coins", "PAYDAY IN ANCIENT TIMES", "BRING A CART", "neutral", "No cards accepted"),
    Caption("coins", "I LOVE SMALL CHANGE", "WHAT A TREASURE", "positive", "Found under the sofa"),
    Caption("coins", "Budget for Friday", "One coin for lunch", "neutral", "It adds up", (("Friday", "DATE"),)),
    Caption("grass", "I TOUCHED IT", "IT WAS WONDERFUL", "positive", "Advice from the internet, followed"),
    Caption("grass", "Mowed on Saturday", "Back by Sunday", "neutral",
            "Gardening, a loop", (("Saturday", "DATE"), ("Sunday", "DATE"))),
    Caption("grass", "THE LAWN IS A DISASTER", "SAID THE ANGRY NEIGHBOUR", "negative", "We will talk about it"),
    Caption("pagoda", "Five floors in Beijing", "The lift is at lunch", "neutral",
            "Stairs it is", (("Beijing", "GPE"),)),
    Caption("pagoda", "A PEACEFUL MORNING", "AND A LOVELY WALK", "positive", "By the lake"),
    Caption("pagoda", "HOURS OF RAIN", "WORST TOUR EVER", "negative", "Wet socks, a review"),
    Caption("pagoda", "Greetings from China", "Grandma Rose counted every roof", "neutral",
            "Postcard", (("China", "GPE"), ("Rose", "PERSON"))),
    Caption("dahlia", "GREW THIS MYSELF", "SO HAPPY AND PROUD", "positive", "From a very small bulb"),
    Caption("dahlia", "SNAILS ATE THE REST", "WHAT A HORRIBLE NIGHT", "negative", "Survivor"),
    Caption("dahlia", "Shown in Bristol on Sunday", "The winner was a turnip", "neutral",
            "Village show", (("Bristol", "GPE"), ("Sunday", "DATE"))),
    Caption("dahlia", "Happy birthday Anna", "You deserve every petal", "positive",
            "See you at six", (("Anna", "PERSON"),)),
)  # fmt: skip

TEXTLESS: Final = (
    ("cat", "No words needed"),
    ("galaxies", "Just looking"),
    ("dahlia", "In bloom"),
    ("photographer", "Self portrait by a friend"),
)
"""Images without text: template and the post's caption."""

REPOSTS: Final = (1, 12, 15, 22, 37)
"""Positions in `CAPTIONS` of images that are posted again, smaller and recompressed."""
