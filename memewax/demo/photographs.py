"""The demo's photographs: openly licensed files from packages of the extra `demo`."""

from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Final

from PIL import Image

from core.errors import WorldError
from core.extras import needs_extra


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph inside an installed package; each serves as one meme template."""

    template: str
    package: str
    """Import name of the package."""
    path: str
    """Path inside the package."""
    shows: str
    author: str
    licence: str
    source: str
    portrait: bool = False
    """Whether a face is where the upper phrase would go."""

    def load(self) -> Image.Image:
        """Load the photograph as RGB; raise `WorldError` if the package does not have it."""
        try:
            with needs_extra("demo", "memewax demo"):
                folder = files(self.package)
            with as_file(folder / self.path) as path, Image.open(path) as image:
                return image.convert("RGB")
        except (ModuleNotFoundError, FileNotFoundError):
            raise WorldError(f"the demo needs {self.path} of the package {self.package}: install it again") from None


_CC0: Final = "CC0 1.0 (dedicated to the public domain)"
_CC_BY: Final = "CC BY 2.0, https://creativecommons.org/licenses/by/2.0/"

PHOTOGRAPHS: Final = (
    Photograph(
        "astronaut", "skimage", "data/astronaut.png", "the astronaut Eileen Collins in an orange suit",
        "NASA", "public domain, no known copyright restrictions", "NASA Great Images, https://flic.kr/p/r9qvLn",
        portrait=True,
    ),
    Photograph(
        "photographer", "skimage", "data/camera.png", "a man in a coat behind a camera on a tripod",
        "Lav Varshney", _CC0, "https://github.com/scikit-image/scikit-image/issues/3927",
    ),
    Photograph(
        "cat", "skimage", "data/chelsea.png", "the face of Chelsea the cat",
        "Stefan van der Walt", _CC0, "scikit-image",
    ),
    Photograph(
        "coffee", "skimage", "data/coffee.png", "an espresso in a red cup on a wooden table",
        "Rachel Michetti, courtesy of Pikolo Espresso Bar", _CC0, "scikit-image",
    ),
    Photograph(
        "rocket", "skimage", "data/rocket.jpg", "a Falcon 9 on its launch pad at dusk",
        "SpaceX", "public domain", "https://www.flickr.com/photos/spacexphotos/16511594820/",
    ),
    Photograph(
        "galaxies", "skimage", "data/hubble_deep_field.jpg", "galaxies in the Hubble eXtreme Deep Field",
        "NASA", "public domain", "http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/",
    ),
    Photograph(
        "coins", "skimage", "data/coins.png", "rows of ancient Greek coins",
        "Brooklyn Museum", "no known copyright restrictions",
        "https://www.brooklynmuseum.org/opencollection/archives/image/51611",
    ),
    Photograph(
        "grass", "skimage", "data/grass.png", "a lawn from close by",
        "CC0Textures", _CC0, "scikit-image",
    ),
    Photograph(
        "pagoda", "sklearn", "datasets/images/china.jpg", "a pagoda above a lake",
        "danielbuechele", _CC_BY, "https://www.flickr.com/photos/danielbuechele/6061409035/",
    ),
    Photograph(
        "dahlia", "sklearn", "datasets/images/flower.jpg", "an orange dahlia",
        "vultilion (scikit-learn's own note says danielbuechele)", _CC_BY,
        "https://www.flickr.com/photos/vultilion/6056698931/",
    ),
)  # fmt: skip


def licences() -> str:
    """Return author and licence of each photograph as a Markdown table."""
    head = (
        "# Where these images come from\n\n"
        "The captions were written for memewax. The photographs below them were cropped, scaled, brightened or "
        "darkened, captioned and saved again; each comes out of an installed Python package.\n\n"
        "| template | photograph | author | licence | source | package |\n|---|---|---|---|---|---|\n"
    )
    rows = (
        f"| {p.template} | {p.shows} | {p.author} | {p.licence} | {p.source} | {p.package}, `{p.path}` |"
        for p in PHOTOGRAPHS
    )
    return head + "\n".join(rows) + "\n"
