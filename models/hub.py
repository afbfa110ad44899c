"""The Hugging Face cache and hub: a folder with a model's files, or none. Nothing waits long for a hub out of reach."""

from pathlib import Path
from typing import Final

from core.errors import WeightsError, first_line

TIMEOUT_SECONDS: Final = 10.0
"""For the hub's first answer; there is one try. A download that has begun takes its time."""

_UNUSED = ["*.h5", "*.msgpack", "*.ot", "*.onnx", "onnx/*", "openvino/*", "*.whl", "*.mlmodel", "coreml/*"]
"""The same weights in forms that nothing here reads."""


def cached(repository: str) -> Path | None:
    """The folder of a repository in the local Hugging Face cache (`HF_HOME`), if it is there."""
    from huggingface_hub import constants

    if not Path(constants.HF_HUB_CACHE, f"models--{repository.replace('/', '--')}").is_dir():
        return None  # the hub's client takes half a second to import
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def downloaded(repository: str) -> Path:
    """The folder of a repository, fetched from the hub; raises `WeightsError` with the reason."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        files = [file.rfilename for file in HfApi().model_info(repository, timeout=TIMEOUT_SECONDS).siblings or []]
        unused = [*_UNUSED, "*.bin"] if any(file.endswith(".safetensors") for file in files) else _UNUSED
        return Path(snapshot_download(repository, ignore_patterns=unused, etag_timeout=TIMEOUT_SECONDS))
    except Exception as error:  # the hub's client has a dozen of its own, its HTTP library's and the system's
        raise WeightsError(f"the hub gave none of {repository}: {first_line(error)}") from error
