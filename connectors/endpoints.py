"""Where posts come from and where things go, by address.

`kafka://HOST:PORT[,…]/TOPIC`, a `.jsonl` file, a folder; and to read from, `reddit:`, `imgur:` or `tumblr:` and names.
"""

from pathlib import Path
from typing import Final

from core.errors import SettingsError, WorldError

_KAFKA: Final = "kafka://"
SERVICES: Final = ("reddit", "imgur", "tumblr")
FILE_SUFFIXES: Final = (".jsonl", ".ndjson", ".json")


def is_kafka(address: str) -> bool:
    """Whether it names a topic."""
    return address.startswith(_KAFKA)


def is_file(address: str) -> bool:
    """Whether it names a file of lines; what is neither that nor a topic is a folder."""
    return address.endswith(FILE_SUFFIXES)


def is_service(address: str) -> bool:
    """Whether it names listings of a service that is polled."""
    service, colon, _ = address.partition(":")
    return bool(colon) and service in SERVICES


def service_address(address: str) -> tuple[str, tuple[str, ...]]:
    """Service and names of `SERVICE:NAME[+NAME…]`, each name once; raises `SettingsError` where there is none."""
    service, _, rest = address.partition(":")
    names = tuple(dict.fromkeys(name.strip() for name in rest.split("+") if name.strip()))
    if not names:
        raise SettingsError(f"{address!r} is not {service}:NAME or {service}:NAME+NAME")
    return service, names


def kafka_address(address: str) -> tuple[str, str]:
    """Brokers and topic of `kafka://…`; raises `SettingsError` where one is missing."""
    brokers, _, topic = address.removeprefix(_KAFKA).partition("/")
    if not brokers or not topic or "/" in topic:
        raise SettingsError(f"{address!r} is not kafka://HOST:PORT/TOPIC")
    return brokers, topic


def kafka_brokers(address: str) -> str:
    """Brokers of `kafka://HOST:PORT[,…]`, which names no topic; raises `SettingsError` where it is not that."""
    brokers = address.removeprefix(_KAFKA).removesuffix("/")
    if not is_kafka(address) or not brokers or "/" in brokers:
        raise SettingsError(f"{address!r} is not kafka://HOST:PORT")
    return brokers


def part_name(path: Path) -> str:
    """The path as Bytewax can keep it; raises `WorldError` where its bytes are not UTF-8."""
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise WorldError(f"{name!r} is not UTF-8 and cannot be kept in a recovery folder: rename it") from None
    return name
