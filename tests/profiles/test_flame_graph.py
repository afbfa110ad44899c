"""Flame graphs: whole files that any browser opens, whatever the frames are called."""

from xml.etree import ElementTree as ET

from memewax.profiles.flame_graph import flame_graph

SVG = "{http://www.w3.org/2000/svg}"


def widths(svg: str) -> dict[str, float]:
    """Of each box, by what is told of it."""
    found = {}
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        title, box = group.find(f"{SVG}title"), group.find(f"{SVG}rect")
        assert title is not None
        assert box is not None
        found[str(title.text)] = float(box.attrib["width"])
    return found


def test_a_box_is_as_wide_as_its_time() -> None:
    found = widths(flame_graph({"a;b": 3.0, "a;c": 1.0, "d": 4.0}, "title"))
    assert found == {
        "all: 8.00 s, 100.0%": 1400,
        "a: 4.00 s, 50.0%": 700,
        "b: 3.00 s, 37.5%": 525,
        "c: 1.00 s, 12.5%": 175,
        "d: 4.00 s, 50.0%": 700,
    }


def test_names_of_strangers_stay_text() -> None:
    svg = flame_graph({"<script>alert(1)</script>\n\x1b[31m;&": 1.0}, "</text><script>")
    assert "<script" not in svg
    assert "\x1b" not in svg
    assert any(name.startswith("<script>alert(1)") for name in widths(svg))


def test_it_fetches_nothing_and_is_bounded() -> None:
    svg = flame_graph({**{f"f{number}": 1e-6 for number in range(5000)}, ";".join("x" * 300): 1.0}, "deep")
    assert svg.count("http") == 1, "the name of the format"
    assert len(svg) < 100_000
    assert flame_graph({}, "nothing").count("<g>") == 0
