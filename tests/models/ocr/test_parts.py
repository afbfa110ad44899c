"""What stands between the networks: boxes out of a map, crops out of an image, providers."""

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from models.engine import EngineOptions
from models.ocr.crops import clockwise, cut
from models.ocr.db import boxes_of
from models.ocr.onnx import normalised
from models.onnx_runtime import OnnxRuntime, providers


def test_a_box_grows_around_what_the_map_shows() -> None:
    heat = np.zeros((64, 160), np.float32)
    heat[20:40, 30:130] = 0.9
    (quad,) = boxes_of(heat)
    grown = 1.6 * 100 * 20 / (100 + 20) / 2  # 13 pixels on each side
    wanted = [[30 - grown, 20 - grown], [130 + grown, 20 - grown], [130 + grown, 40 + grown], [30 - grown, 40 + grown]]
    assert np.abs(quad - wanted).max() < 3


def test_what_is_small_or_doubtful_is_no_box() -> None:
    heat = np.zeros((64, 160), np.float32)
    heat[5:7, 5:7] = 1.0
    heat[20:40, 30:130] = 0.4
    assert boxes_of(heat) == []


def test_a_box_at_the_edge_of_the_map() -> None:
    heat = np.zeros((64, 160), np.float32)
    heat[:20, :100] = 1.0
    assert len(boxes_of(heat)) == 1


@pytest.mark.parametrize("start", range(4))
def test_corners_start_at_the_top_left(start: int) -> None:
    quad = np.array([[10, 12], [90, 10], [92, 40], [8, 38]], np.float32)
    assert np.array_equal(clockwise(np.roll(quad, start, axis=0)), quad)


def test_a_crop_is_what_lies_in_the_box() -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    quad = np.array([[20, 10], [60, 10], [60, 30], [20, 30]], np.float32)
    assert np.array_equal(cut(image, quad), image[10:30, 20:60])


def test_a_slanted_line_comes_out_level() -> None:
    level = np.full((40, 160, 3), 255, np.uint8)
    level[15:25, 20:140] = 0
    turn = cv2.getRotationMatrix2D((80, 20), 30, 1.0)
    turn[:, 2] += (40, 80)
    slanted = cv2.warpAffine(level, turn, (240, 200), borderValue=(255, 255, 255))
    corners = np.array([[0, 0, 1], [160, 0, 1], [160, 40, 1], [0, 40, 1]]) @ turn.T
    crop = cut(slanted, corners.astype(np.float32))
    assert crop.shape == (40, 160, 3)
    assert crop[18:22, 25:135].mean() < 10
    assert crop[:10].mean() > 245


def test_a_line_that_runs_down_the_image_is_turned() -> None:
    image = np.zeros((200, 100, 3), np.uint8)
    image[100:, :] = 255
    quad = np.array([[30, 0], [60, 0], [60, 200], [30, 200]], np.float32)
    crop = cut(image, quad)
    assert crop.shape == (30, 200, 3)
    assert crop[:, :90].mean() < 1  # its top, where it begins, comes first
    assert crop[:, 110:].mean() > 254


def test_a_box_outside_the_image_gives_a_crop_all_the_same() -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    assert cut(image, np.array([[20, 20], [30, 20], [30, 25], [20, 25]], np.float32)).shape == (1, 1, 3)


def test_networks_see_blue_first_from_minus_one_to_one() -> None:
    tensor = normalised(np.array([[[255, 0, 0]]], np.uint8))
    assert tensor.shape == (1, 3, 1, 1)
    assert tensor.ravel().tolist() == [-1.0, -1.0, 1.0]


def test_cuda_is_used_where_it_is_asked_for_and_there(monkeypatch: pytest.MonkeyPatch) -> None:
    both = ["CUDAExecutionProvider", "AzureExecutionProvider", "CPUExecutionProvider"]
    for there, device, wanted in (
        (both, "cuda", ["CUDAExecutionProvider", "CPUExecutionProvider"]),
        (both, "cpu", ["CPUExecutionProvider"]),
        (["CPUExecutionProvider"], "cuda", ["CPUExecutionProvider"]),
    ):
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda there=there: there)
        assert providers(device) == wanted
        options = dict(OnnxRuntime().providers(Path("any.onnx"), EngineOptions(device)))
        assert list(options) == wanted
        # A search for kernels would be repeated for each shape of image.
        assert options.get(both[0], {"cudnn_conv_algo_search": "HEURISTIC"})["cudnn_conv_algo_search"] == "HEURISTIC"
