"""All settings, combined from the groups of all parts, and read from `MEMEWAX_*` variables and `memewax.toml`.

A variable takes precedence over the file. Addresses are one or a JSON list in a variable
(`MEMEWAX_TO='["./store", "out.jsonl"]'`), and one or an array in the file; other lists may be comma-separated.
"""

import os
import re
from tomllib import TOMLDecodeError
from typing import Any, Final

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from core.errors import SettingsError
from core.settings import FILE, PREFIX, HealthSettings, LogSettings, TraceSettings
from models.stages import StageSettings
from operators.operator_settings import InputSettings, JoinSettings, QuerySettings, TapSettings
from search.search_settings import EmbedderSettings


class Settings(
    LogSettings,
    TraceSettings,
    HealthSettings,
    TapSettings,
    QuerySettings,
    JoinSettings,
    StageSettings,
    EmbedderSettings,
    InputSettings,
    BaseSettings,
):
    """All settings; the description of a field is its documentation. Fields of the last base class come first."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, toml_file=FILE, extra="forbid", env_ignore_empty=True, frozen=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources by precedence: arguments, variables, file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


_SERVICE: Final = re.compile(rf"{PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_SERVICE_PORT: Final = re.compile(r"(tcp|udp|sctp)://.+")


def load_settings(**overrides: Any) -> Settings:
    """Load the settings from overrides, variables and file.

    Raises:
        SettingsError: if a setting is unknown or invalid; the text names each with its value.
    """
    unknown = sorted(
        name
        for name in os.environ
        if name.startswith(PREFIX)
        and name.removeprefix(PREFIX).lower() not in Settings.model_fields
        and not _is_of_kubernetes(name, os.environ[name])
    )
    if unknown:
        raise SettingsError(f"unknown setting {', '.join(unknown)}; `memewax settings` lists all settings")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("; ".join(_describe(dict(problem)) for problem in error.errors())) from None
    except (TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{FILE} is not TOML: {error}") from None
    except ValueError as error:  # a variable that must be JSON is not; the error names it
        raise SettingsError(f"a setting cannot be read: {error}") from None
    except OSError as error:
        raise SettingsError(f"{FILE}: {error.strerror}") from None


def _is_of_kubernetes(name: str, value: str) -> bool:
    """Check whether Kubernetes sets this variable in each container, for a Service called memewax or memewax-NAME."""
    is_port = name.endswith("_PORT") and _SERVICE_PORT.fullmatch(value) is not None
    return is_port or _SERVICE.fullmatch(name) is not None


def is_secret(name: str) -> bool:
    """Check whether a setting may hold a password or a key, and so must not be displayed."""
    field = Settings.model_fields.get(name)
    return name in {"kafka", "mastodon_tokens"} or (field is not None and field.annotation is SecretStr)


def _describe(problem: dict[str, Any]) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else "?"
    if problem.get("type") == "extra_forbidden":
        return f"unknown setting {name} in {FILE}; `memewax settings` lists all settings"
    where = f"{PREFIX}{name.upper()} (or {name} in {FILE})"
    value = str(problem.get("input"))
    shown = "(hidden)" if is_secret(name) else repr(value[:80])
    return f"{where} = {shown}: {problem['msg']}"
