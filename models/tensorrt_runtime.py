"""The engine TensorRT, by Nvidia: an execution provider of ONNX Runtime that compiles a graph for the GPU.

Compiling takes about a minute for each new range of input shapes, so `auto` tries it for the image model only, whose
inputs differ in nothing but their number. What it compiled is kept beside the graph.
"""

from pathlib import Path
from typing import Any, ClassVar, Final

from core.errors import WorldError
from models.engine import EngineOptions, Precision
from models.onnx_runtime import OnnxRuntime

_PROVIDER: Final = "TensorrtExecutionProvider"
_COMPILED: Final = "tensorrt"
"""Folder of compiled graphs."""


class TensorRt(OnnxRuntime):
    """TensorRT, on CUDA only."""

    name = "tensorrt"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "bf16")

    def why_missing(self) -> str | None:
        """Return why it is not installed and how to install it, or None if it is."""
        reason = super().why_missing()
        if reason is None:
            import onnxruntime

            if _PROVIDER not in onnxruntime.get_available_providers():
                reason = "engine 'tensorrt' needs ONNX Runtime with TensorRT: pip install onnxruntime-gpu tensorrt"
        return reason

    def opened(self, file: Path, options: EngineOptions) -> Any:
        """Return ONNX Runtime's own session of the graph in `file`.

        Raises:
            WorldError: If there is no CUDA device or TensorRT's libraries cannot be loaded.
        """
        if options.device != "cuda":
            raise WorldError("engine 'tensorrt' needs a CUDA device, and models run on the CPU")
        session = super().opened(file, options)
        # ONNX Runtime falls back to CUDA without an error if TensorRT's libraries are missing.
        if session.get_providers()[0] != _PROVIDER:
            raise WorldError("engine 'tensorrt' cannot load TensorRT's libraries: pip install tensorrt")
        return session

    def providers(self, file: Path, options: EngineOptions) -> list[tuple[str, dict[str, str]]]:
        """Return TensorRT's provider, and those that compute what it cannot."""
        compiled = {
            "trt_bf16_enable": str(options.precision == "bf16"),
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(file.parent / _COMPILED),
            "trt_timing_cache_enable": "True",
            "trt_timing_cache_path": str(file.parent / _COMPILED),
        }
        return [(_PROVIDER, compiled), *super().providers(file, options)]
