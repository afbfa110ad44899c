"""Settings from variables and `memewax.toml`."""

import os
from pathlib import Path

import pytest

from core.errors import SettingsError
from core.settings import PREFIX, as_variable
from dataflows.all_settings import Settings, load_settings
from memewax.commands.settings_command import settings as show_settings

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: Patch) -> Path:
    """An empty folder to be in, and no variables of ours."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    return tmp_path


def test_an_unknown_variable_is_refused_by_name(monkeypatch: Patch) -> None:
    monkeypatch.setenv("MEMEWAX_SUORCE", "posts.jsonl")
    with pytest.raises(SettingsError, match="MEMEWAX_SUORCE"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VIT_BATCH", "many"),
        ("PROCESSES", "0"),
        ("DEVICE", "gpu"),
        ("FOLLOW", "perhaps"),
        ("FETCH_TIMEOUT_SECONDS", "-1"),
        ("FETCH_TIMEOUT_SECONDS", "nan"),
        ("JOIN_DEADLINE_SECONDS", "nan"),
        ("JOIN_DEADLINE_SECONDS", "inf"),
        ("JOIN_LATE_SECONDS", "inf"),
    ],
)
def test_a_bad_value_is_named_with_its_variable(name: str, value: str, monkeypatch: Patch) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert f"MEMEWAX_{name}" in str(caught.value)
    assert value in str(caught.value)


def test_every_bad_value_is_told_at_once(monkeypatch: Patch) -> None:
    monkeypatch.setenv("MEMEWAX_VIT_BATCH", "many")
    monkeypatch.setenv("MEMEWAX_OCR_CANVAS", "few")
    with pytest.raises(SettingsError, match=r"VIT_BATCH.*OCR_CANVAS"):
        load_settings()


def test_an_empty_variable_is_no_value(monkeypatch: Patch) -> None:
    monkeypatch.setenv("MEMEWAX_VIT_BATCH", "")
    assert load_settings().vit_batch == Settings.model_fields["vit_batch"].default


def test_what_kubernetes_tells_of_a_service_called_memewax_is_no_setting(monkeypatch: Patch) -> None:
    for name, value in {
        "SERVICE_HOST": "10.0.0.1",
        "SERVICE_PORT": "80",
        "SERVICE_PORT_HTTP": "80",
        "PORT": "tcp://10.0.0.1:80",
        "PORT_80_TCP": "tcp://10.0.0.1:80",
        "PORT_80_TCP_PROTO": "tcp",
        "PORT_80_TCP_ADDR": "10.0.0.1",
        "PAGE_SERVICE_HOST": "10.0.0.2",
        "PAGE_PORT": "tcp://10.0.0.2:8000",
    }.items():
        monkeypatch.setenv(f"MEMEWAX_{name}", value)
    assert load_settings() == Settings()
    monkeypatch.setenv("MEMEWAX_HELTH_PORT", "3030")
    with pytest.raises(SettingsError, match="unknown setting MEMEWAX_HELTH_PORT;"):
        load_settings()


def test_the_file_is_read(folder: Path) -> None:
    (folder / "memewax.toml").write_text('to = ["store", "records.jsonl"]\nvit_batch = 3\n')
    settings = load_settings()
    assert (settings.to, settings.vit_batch) == (("store", "records.jsonl"), 3)


def test_a_variable_wins_over_the_file(folder: Path, monkeypatch: Patch) -> None:
    (folder / "memewax.toml").write_text("vit_batch = 3\n")
    monkeypatch.setenv("MEMEWAX_VIT_BATCH", "5")
    assert load_settings().vit_batch == 5


def test_an_argument_wins_over_a_variable(monkeypatch: Patch) -> None:
    monkeypatch.setenv("MEMEWAX_VIT_BATCH", "5")
    assert load_settings(vit_batch=7).vit_batch == 7


def test_an_unknown_key_of_the_file_is_refused_by_name(folder: Path) -> None:
    (folder / "memewax.toml").write_text('suorce = "posts.jsonl"\n')
    with pytest.raises(SettingsError, match=r"^unknown setting suorce in memewax\.toml; `memewax settings` lists"):
        load_settings()


@pytest.mark.parametrize("content", [b"source = \n", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_refused(content: bytes, folder: Path) -> None:
    (folder / "memewax.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"^memewax\.toml is not TOML: "):
        load_settings()


@pytest.mark.parametrize(
    ("value", "to"),
    [
        ("./store", ("./store",)),
        ("kafka://a:9092,b:9092/posts", ("kafka://a:9092,b:9092/posts",)),
        ("./store,records.jsonl", ("./store,records.jsonl",)),
        ('["./store", "kafka://a:9092,b:9092/posts"]', ("./store", "kafka://a:9092,b:9092/posts")),
        ('["caf\\udce9"]', ("caf\udce9",)),
    ],
)
def test_addresses_are_one_or_a_json_list_and_never_split(value: str, to: tuple[str, ...], monkeypatch: Patch) -> None:
    monkeypatch.setenv("MEMEWAX_TO", value)
    assert load_settings().to == to


@pytest.mark.parametrize(
    "to",
    [(), ("./store",), ("a,b.jsonl",), ("[odd].jsonl",), (" odd",), ("caf\udce9",), ("store", "kafka://a:1,b:2/t")],
)
def test_a_value_is_read_back_from_the_variable_that_it_is_written_to(to: tuple[str, ...], monkeypatch: Patch) -> None:
    monkeypatch.setenv("MEMEWAX_TO", as_variable(to))
    assert load_settings().to == to


@pytest.mark.parametrize("value", ['["store", "records.jsonl"', "[store]", "[1, 2]"])
def test_a_list_of_addresses_that_is_none_is_refused(value: str, monkeypatch: Patch) -> None:
    monkeypatch.setenv("MEMEWAX_TO", value)
    with pytest.raises(SettingsError, match="MEMEWAX_TO"):
        load_settings()


def test_one_address_in_the_file_needs_no_list(folder: Path) -> None:
    (folder / "memewax.toml").write_text('to = "kafka://a:9092,b:9092/posts"\n')
    assert load_settings().to == ("kafka://a:9092,b:9092/posts",)


@pytest.mark.parametrize("value", ["10.0.0.0/8, images.internal,,", '["10.0.0.0/8", "images.internal"]'])
def test_lists_of_what_is_no_address_are_split_at_commas(value: str, monkeypatch: Patch) -> None:
    monkeypatch.setenv("MEMEWAX_FETCH_ALLOW", value)
    assert load_settings().fetch_allow == ("10.0.0.0/8", "images.internal")


def test_properties_of_kafka_are_json(monkeypatch: Patch) -> None:
    monkeypatch.setenv("MEMEWAX_KAFKA", '{"security.protocol": "SSL"}')
    assert load_settings().kafka == {"security.protocol": "SSL"}


@pytest.mark.parametrize("value", ['{"sasl.password": ["hunter2"]}', '["hunter2"]', '{"sasl.password": hunter2}'])
def test_an_error_never_shows_a_password(value: str, monkeypatch: Patch) -> None:
    monkeypatch.setenv("MEMEWAX_KAFKA", value)
    with pytest.raises(SettingsError, match=r"(?i)kafka") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


KEYS = ("REDDIT_CLIENT_ID", "REDDIT_CLIENT_SECRET", "IMGUR_CLIENT_ID", "TUMBLR_API_KEY")


@pytest.mark.parametrize("name", KEYS)
def test_a_key_of_a_service_is_never_shown(
    name: str, folder: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PREFIX + name, "hunter2")
    assert "hunter2" not in repr(load_settings())
    for as_json in (False, True):
        show_settings(as_json)
    assert "(hidden)" in (shown := capsys.readouterr().out)
    assert "hunter2" not in shown
    monkeypatch.delenv(PREFIX + name)
    (folder / "memewax.toml").write_text(f'{name.lower()} = ["hunter2"]')
    with pytest.raises(SettingsError, match=name) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_models_share_the_cores_among_processes(monkeypatch: Patch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert Settings(processes=4).threads_per_model == 2
    assert Settings(processes=16).threads_per_model == 1
    assert Settings(processes=4, threads=3).threads_per_model == 3


def test_every_setting_has_its_reason() -> None:
    assert all(field.description for field in Settings.model_fields.values())
