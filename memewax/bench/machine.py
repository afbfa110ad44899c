"""What a benchmark's figures were measured on."""

import os
import platform
from typing import Any

from models.processor import processor


def machine() -> dict[str, Any]:
    """Processor, cores and Python, without the machine's name."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
