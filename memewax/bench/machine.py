"""What a benchmark's figures were measured on."""

import os
import platform
from typing import Any


def machine() -> dict[str, Any]:
    """Processor, cores and Python, without the machine's name."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
