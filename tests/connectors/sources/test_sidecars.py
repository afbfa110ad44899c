"""What is told of images, beside and inside them."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import Image, PngImagePlugin

from connectors.sources.image_folder import Images, holds_images
from connectors.sources.parse import parse_post
from connectors.sources.post_files import files_of_posts
from connectors.sources.sidecars import sidecar_of
from core.records import Post

XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description xmp:CreateDate="2023-12-11T08:00:00Z">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">Cats &amp; dogs</rdf:li></rdf:Alt></dc:description>
<dc:creator><rdf:Seq><rdf:li>Ann</rdf:li></rdf:Seq></dc:creator></rdf:Description></rdf:RDF></x:xmpmeta>"""
OF_XMP = {"desc": "Cats & dogs", "author": "Ann", "created_time": "2023-12-11T08:00:00+00:00"}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "two_cats.png"
    Image.new("RGB", (8, 8)).save(path)
    return path


def exif() -> Image.Exif:
    found = Image.Exif()
    found[270], found[315] = "From EXIF", "Bob"
    found.get_ifd(34665)[36867], found.get_ifd(34665)[36881] = "2023:12:11 10:00:00", "+02:00"
    return found


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("two_cats.txt", b"\xef\xbb\xbf a caption\n".lstrip(b"\xef\xbb\xbf"), {"desc": "a caption"}),
        ("two_cats.png.txt", b"a caption", {"desc": "a caption"}),
        (  # gallery-dl's
            "two_cats.png.json",
            orjson.dumps({"title": "T", "content": "words", "author": {"name": "bob"}, "date": "2023-12-11 08:00:00",
                          "tags": ["a"], "url": "https://x/1", "category": "twitter"}),
            {"desc": "T\nwords", "author": "bob", "created_time": "2023-12-11T08:00:00+00:00", "tags": ["a"],
             "permalink": "https://x/1"},
        ),
        (  # Takeout's
            "two_cats.png.supplemental-metadata.json",
            orjson.dumps({"title": "two_cats.png", "description": "words", "photoTakenTime": {"timestamp": "1702281600"}}),
            {"desc": "words", "created_time": "2023-12-11T08:00:00+00:00"},
        ),
        ("two_cats.json", b'{"description": "words"}', {"desc": "words"}),
        ("two_cats.json", b'\xef\xbb\xbf{"description": "words", "score": NaN}', {"desc": "words"}),
        ("two_cats.txt", "K\u00e4se".encode("utf-8-sig"), {"desc": "K\u00e4se"}),
        ("two_cats.txt", "K\u00e4se".encode("utf-16"), {"desc": "K\u00e4se"}),
        ("two_cats.xmp", XMP, OF_XMP),
        ("two_cats.json", b"[1", {}),
        ("two_cats.json", b'{"title": 7, "author": [], "date": {}, "tags": "x"}', {}),
        ("two_cats.png.txt", b"x" * 300_000, {}),
    ],
)  # fmt: skip
def test_what_lies_beside_an_image_is_read(name: str, content: bytes, told: dict[str, Any], image: Path) -> None:
    image.with_name(name).write_bytes(content)
    assert sidecar_of(image) == told


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("cat(1).png", "cat.png(1).json"),
        ("cat(1).png", "cat.png.supplemental-metadata(1).json"),
        ("IMG_20240101_120000_BURST.png", "IMG_20240101_120000_BURST.png.supplemental-met.json"),
        (f"{'x' * 60}.png", f"{'x' * 46}.json"),
    ],
)
def test_names_of_takeout_are_cut_and_numbered(name: str, beside: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    (tmp_path / beside).write_bytes(b'{"description": "words"}')
    assert sidecar_of(tmp_path / name) == {"desc": "words"}


def test_what_is_found_first_counts_and_the_rest_fills_in(image: Path) -> None:
    image.with_name("two_cats.txt").write_bytes(b"mine")
    image.with_name("two_cats.png.json").write_bytes(b'{"description": "theirs", "author": "bob"}')
    assert sidecar_of(image) == {"desc": "mine", "author": "bob"}


OF_EXIF = {"desc": "From EXIF", "author": "Bob", "created_time": "2023-12-11T08:00:00+00:00"}


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_exif_and_xmp_inside_an_image_are_read(form: str, tmp_path: Path) -> None:
    plain, with_exif, with_xmp = (tmp_path / f"{name}.{form}" for name in "abc")
    Image.new("RGB", (8, 8)).save(plain)
    Image.new("RGB", (8, 8)).save(with_exif, exif=exif())
    if form == "png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        Image.new("RGB", (8, 8)).save(with_xmp, pnginfo=info)
    else:
        Image.new("RGB", (8, 8)).save(with_xmp, xmp=XMP)
    assert [sidecar_of(it) for it in (plain, with_exif, with_xmp)] == [{}, OF_EXIF, OF_XMP]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff\xe1\xff\xff",
        b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffeXIf",
        b"RIFF\0\0\0\0WEBPEXIF\xff\0\0\0II*\0",
    ],
)
def test_a_broken_image_tells_nothing(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    assert sidecar_of(tmp_path / "a.jpg") == {}


def posts(folder: Path) -> list[Post]:
    source = Images(folder, follow=False, parts=1, batch=9)
    reader = source.open(source.parts()[0], None)
    return [parse_post(message) for unit in iter(reader.read, None) for message in unit.messages]


def test_a_caption_is_the_post_s_and_the_name_only_where_there_is_none(image: Path) -> None:
    assert posts(image.parent)[0].description == "two cats"
    image.with_name("two_cats.txt").write_bytes(b"a caption")
    assert posts(image.parent)[0].description == "a caption"


def test_images_are_known_by_their_bytes_whatever_their_names(image: Path) -> None:
    data = image.read_bytes()
    folder = image.parent
    image.unlink()
    for name in ("4f2a9c", "photo.dat", "x.png", ".hidden"):
        (folder / name).write_bytes(data)
    (folder / "notes.md").write_bytes(b"# no image")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    assert holds_images(folder)
    assert sorted(post.url for post in posts(folder)) == ["4f2a9c", "phone.heic", "photo.dat", "x.png"]


@pytest.mark.parametrize(
    ("name", "content", "is_of_posts"),
    [
        ("posts.jsonl", b"", True),
        ("list.csv", b"file,words\ntwo_cats.png,hi\n", True),
        ("posts.json", b'{"global_id": "1", "url": "two_cats.png"}', True),
        ("counts.csv", b"day,count\n1,2\n", False),
        ("info.json", b'{"title": "an album", "url": "https://x/album.png"}', False),
        ("two_cats.png.json", b'{"title": "a cat"}', False),
        ("readme.md", b"words", False),
    ],
)
def test_a_folder_is_of_posts_where_a_file_holds_some(
    name: str, content: bytes, is_of_posts: bool, image: Path
) -> None:
    image.with_name(name).write_bytes(content)
    assert bool(files_of_posts(image.parent, ())) == is_of_posts
