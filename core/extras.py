"""Optional dependencies: an import guard whose error names the extra to install."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from core.errors import WorldError

EXTRAS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "commands": {"prompt_toolkit": "prompt_toolkit", "rich": "rich", "typer": "typer"},
        "traces": {"opentelemetry": "opentelemetry-exporter-otlp-proto-http"},
        "openvino": {"openvino": "openvino"},
        "corpus": {"scipy": "scipy", "sklearn": "scikit-learn"},
        "demo": {"jinja2": "jinja2", "jiwer": "jiwer", "skimage": "scikit-image", "sklearn": "scikit-learn"},
        "eval": {"jinja2": "jinja2", "jiwer": "jiwer", "scipy": "scipy", "sklearn": "scikit-learn"},
        "page": {
            "jinja2": "jinja2",
            "python_multipart": "python-multipart",
            "starlette": "starlette",
            "uvicorn": "uvicorn",
        },
        "maps": {"networkx": "networkx", "sklearn": "scikit-learn"},
        "objects": {"boto3": "boto3", "botocore": "botocore"},
        "sql": {"duckdb": "duckdb"},
        "cassandra": {"cassandra": "cassandra-driver"},
        "bench": {
            "duckdb": "duckdb",
            "jiwer": "jiwer",
            "matplotlib": "matplotlib",
            "psutil": "psutil",
        },
    }
)
"""By extra: import name to distribution name of each package."""


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Guard imports that `what` needs, as a `with` block or a decorator.

    Raises:
        WorldError: if a package of the extra is missing; the text names the package and the extra. Other missing
            packages raise `ModuleNotFoundError` as usual.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = EXTRAS[extra].get((error.name or "").partition(".")[0])
        if package is None:
            raise
        raise WorldError(f"{what} needs {package}: pip install 'memewax[{extra}]'") from error
