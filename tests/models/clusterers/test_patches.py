"""Sign codes of patches: the same for the same image, like those of one that is moved or half covered."""

import numpy as np
import pytest

from models.clusterers.patches import PatchCoder, patch_similarities

RANDOM = np.random.default_rng(0)
GRIDS = RANDOM.normal(size=(60, 8, 8, 48)) * 30


def coder() -> PatchCoder:
    return PatchCoder.fit(GRIDS)


def test_strangers_are_near_nought_and_the_same_is_one() -> None:
    codes = coder().codes(GRIDS)
    found = patch_similarities(codes[0], codes)
    assert found[0] == 1
    assert found[1:].max() < 0.35


@pytest.mark.parametrize("change", ["moved", "covered", "noise"])
def test_a_changed_image_is_alike(change: str) -> None:
    grid = GRIDS[3].copy()
    if change == "moved":
        grid = np.roll(grid, 1, axis=1)
    elif change == "covered":
        grid[:3] = RANDOM.normal(size=48) * 30
    else:
        grid += RANDOM.normal(size=grid.shape) * 10
    codes = coder().codes(GRIDS)
    found = patch_similarities(coder().codes(grid), codes)
    assert found.argmax() == 3
    assert found[3] > 0.6


def test_a_coder_of_few_patches_of_few_numbers_works() -> None:
    few = PatchCoder.fit(GRIDS[:1, ..., :5])
    assert patch_similarities(few.codes(GRIDS[0, ..., :5]), few.codes(GRIDS[:1, ..., :5]))[0] == 1


def test_the_state_is_the_coder() -> None:
    one = coder()
    assert (PatchCoder.of(one.state()).codes(GRIDS) == one.codes(GRIDS)).all()
