"""Find a model's files in the local Hugging Face cache, or download them from the Hub, with a short timeout."""

from pathlib import Path
from typing import Final

from core.errors import WeightsError, first_line

TIMEOUT_SECONDS: Final = 10.0
"""Timeout of the Hub's first response, without retries. A download that has begun has no deadline."""

_UNUSED = ["*.h5", "*.msgpack", "*.ot", "*.onnx", "onnx/*", "openvino/*", "*.whl", "*.mlmodel", "coreml/*"]
"""Files with the same weights in formats that memewax does not read."""


def cached(repository: str) -> Path | None:
    """Return the folder of a repository in the local Hugging Face cache (`HF_HOME`), or None."""
    from huggingface_hub import constants

    if not Path(constants.HF_HUB_CACHE, f"models--{repository.replace('/', '--')}").is_dir():
        return None  # without importing the Hub's client, which takes half a second
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def downloaded(repository: str) -> Path:
    """Download a repository from the Hub and return its folder; raises `WeightsError` with the reason."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        files = [file.rfilename for file in HfApi().model_info(repository, timeout=TIMEOUT_SECONDS).siblings or []]
        unused = [*_UNUSED, "*.bin"] if any(file.endswith(".safetensors") for file in files) else _UNUSED
        return Path(snapshot_download(repository, ignore_patterns=unused, etag_timeout=TIMEOUT_SECONDS))
    except Exception as error:  # the client raises its own kinds, its HTTP library's and the system's
        raise WeightsError(f"cannot download {repository} from the hub: {first_line(error)}") from error
