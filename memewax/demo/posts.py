"""The demo's posts: memes labelled with text, template, entities and mood, and some broken posts."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from random import Random
from string import ascii_letters, ascii_lowercase, digits
from typing import Any, Final

import orjson
from PIL import Image

from memewax.demo import drawing
from memewax.demo.broken import BROKEN_IMAGES, BROKEN_POSTS, broken_image, broken_line
from memewax.demo.captions import CAPTIONS, REPOSTS, TEXTLESS
from memewax.demo.photographs import PHOTOGRAPHS, licences
from memewax.demo.truth import Broken, PostTruth, Truth, save_truth

_SOURCES: Final = ("reddit", "imgur", "tumblr")
_AUTHORS: Final = ("mallow", "oat_milk_olga", "tinytuba", "gravel.gus", "pixel-pia", "Søren", "bean", "dr_dahlia")
_KINDS: Final = ("jpg", "jpg", "png", "jpg", "webp", "grey.jpg", "jpg", "gif", "turned.jpg", "alpha.png", "cmyk.jpg")
"""Image formats and modes, all of which the flow must read."""
_ORIENTATION: Final = 0x0112
_START: Final = datetime(2026, 3, 1, 8, tzinfo=UTC)
_HOSTILE: Final = "<script>alert('a caption, not a program')</script>"


def make_posts(folder: Path, *, seed: int = 0) -> Path:
    """Write some sixty posts into `folder`, and return their file, `posts.jsonl`.

    Also writes `images/`, their licences in `images/LICENCES.md`, and `truth.json` (see `load_truth`). The same seed
    gives the same files, byte for byte, with the same versions of Pillow and of the packages with the photographs.

    Raises:
        WorldError: One of these packages lacks its photograph.
    """
    return _Maker(folder, Random(seed)).make()  # noqa: S311 - variety, not secrecy


class _Maker:
    def __init__(self, folder: Path, random: Random) -> None:
        self._folder = folder
        self._images = folder / "images"
        self._random = random
        self._photographs = {photograph.template: photograph for photograph in PHOTOGRAPHS}
        self._made = 0

    def make(self) -> Path:
        self._images.mkdir(parents=True, exist_ok=True)
        (self._images / "LICENCES.md").write_text(licences(), encoding="utf-8")
        posts = [*self._captioned(), *self._textless()]
        lines = [orjson.dumps(post) for post, _ in posts]
        lines.append(lines[0])  # one post twice
        truth = Truth({post["global_id"]: known for post, known in posts}, tuple(self._broken()), duplicates=1)
        lines += [broken.value for broken in truth.broken]
        self._random.shuffle(lines)
        save_truth(self._folder, truth)
        path = self._folder / "posts.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    def _captioned(self) -> Iterator[tuple[dict[str, Any], PostTruth]]:
        for place, caption in enumerate(CAPTIONS):
            photograph = self._photographs[caption.template]
            image = drawing.vary(photograph.load(), self._random)
            in_bar = photograph.portrait or self._random.random() < 0.2
            drawn = (drawing.banner if in_bar else drawing.overlay)(image, caption.top, caption.bottom)
            post = self._post(caption.desc)
            post["url"] = self._save(drawn.image, post["global_id"], _KINDS[place % len(_KINDS)])
            truth = PostTruth(caption.template, "\n".join(drawn.lines), caption.entities, caption.mood)
            yield post, truth
            if place in REPOSTS:
                again = self._post(f"{caption.desc} (not mine)")
                again["url"] = self._save(drawing.repost(drawn.image, self._random), again["global_id"], "jpg")
                yield again, replace(truth, repost_of=post["global_id"])

    def _textless(self) -> Iterator[tuple[dict[str, Any], PostTruth]]:
        for template, desc in TEXTLESS:
            post = self._post(desc)
            image = drawing.vary(self._photographs[template].load(), self._random)
            post["url"] = self._save(image, post["global_id"], "jpg")
            yield post, PostTruth(template)

    def _broken(self) -> Iterator[Broken]:
        for broken in BROKEN_POSTS:
            post = self._post("A post with a fault")
            post["url"] = f"images/{post['global_id']}.jpg"
            yield Broken(broken.kind, broken_line(broken, post))
        buffer = BytesIO()
        drawing.vary(self._photographs["coffee"].load(), self._random).save(buffer, "JPEG")
        for kind in BROKEN_IMAGES:
            post = self._post(_HOSTILE if kind == "truncated" else f"An image with a fault: {kind}")
            post["url"] = f"images/{post['global_id']}.jpg"
            contents = broken_image(kind, buffer.getvalue())
            if contents is not None:
                (self._folder / post["url"]).write_bytes(contents)
            yield Broken(kind, orjson.dumps(post), post["global_id"])

    def _post(self, desc: str) -> dict[str, Any]:
        """Make a post with an id in the style of its source; the caller sets `url`."""
        self._made += 1
        source = self._random.choice(_SOURCES)
        time = _START + timedelta(minutes=self._random.randrange(60 * 24 * 90))
        return {
            "global_id": f"{self._id(source)}-{source}",
            "author": self._random.choice(_AUTHORS),
            "created_time": time.isoformat(),
            "desc": desc,
            "score": self._random.randrange(5_000),
            "url": "",
            "source": source,
            "comments": self._random.randrange(200),  # a field that memewax does not know and keeps in `extra`
        }

    def _id(self, source: str) -> str:
        if source == "tumblr":
            return str(736_000_000_000_000_000 + self._random.randrange(10**15))
        letters = digits + (ascii_lowercase if source == "reddit" else ascii_letters)
        return "".join(self._random.choices(letters, k=7))

    def _save(self, image: Image.Image, global_id: str, kind: str) -> str:
        """Save an image as one of `_KINDS`; return its url, relative to the posts' file."""
        changes, _, suffix = kind.rpartition(".")
        options: dict[str, Any] = {"quality": self._random.randint(70, 92)} if suffix in {"jpg", "webp"} else {}
        if changes == "grey":
            image = image.convert("L")
        elif changes == "cmyk":
            image = image.convert("CMYK")
        elif changes == "alpha":
            image = image.convert("RGBA")
        elif changes == "turned":
            exif = Image.Exif()
            exif[_ORIENTATION] = 6
            image, options["exif"] = image.transpose(Image.Transpose.ROTATE_90), exif
        elif suffix == "gif":
            image = image.quantize(128)
        url = f"images/{global_id}.{suffix}"
        image.save(self._folder / url, **options)
        return url
