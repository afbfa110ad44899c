"""Description of the machine for benchmark reports."""

import os
import platform
from typing import Any

from models.processor import processor


def machine() -> dict[str, Any]:
    """Return the processor, number of cores and Python version; the host name is left out."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
