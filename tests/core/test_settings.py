"""Settings from variables and `memewax.toml`."""

import os
from pathlib import Path

import pytest

from core.errors import SettingsError
from core.settings import PREFIX
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
    with pytest.raises(SettingsError, match=r"settings cannot be read, of memewax\.toml"):
        load_settings()


def test_lists_are_split_at_commas(monkeypatch: Patch) -> None:
    monkeypatch.setenv("MEMEWAX_TO", "./store, records.jsonl,,kafka://here:9092/posts")
    assert load_settings().to == ("./store", "records.jsonl", "kafka://here:9092/posts")


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


@pytest.mark.parametrize(
    ("to", "path"),
    [
        (("out/store",), "out/store.recovery"),
        (("out/store.v2",), "out/store.v2.recovery"),
        (("out/records.jsonl",), "out/records.recovery"),
        (("kafka://here:9092/posts", "store"), "store.recovery"),
        (("kafka://here:9092/posts",), "memewax.recovery"),
        ((), "memewax.recovery"),
    ],
)
def test_what_lies_beside_the_first_sink_on_this_machine(to: tuple[str, ...], path: str) -> None:
    assert Settings(to=to).beside("recovery") == Path(path)


def test_dead_letters_go_beside_the_first_sink_unless_told_otherwise() -> None:
    assert Settings(to=("store",)).dead_letters_to == "store.dead-letters.jsonl"
    assert Settings(to=("store",), dead_letters="dead.jsonl").dead_letters_to == "dead.jsonl"


@pytest.mark.parametrize(
    ("source", "follow", "is_followed"),
    [("kafka://h:1/t", None, True), ("a.jsonl", None, False), ("kafka://h:1/t", False, False), ("a.jsonl", True, True)],
)
def test_topics_are_followed_and_files_are_not(source: str, follow: bool | None, is_followed: bool) -> None:
    assert Settings(source=source, follow=follow).is_followed is is_followed


def test_models_share_the_cores_among_processes(monkeypatch: Patch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert Settings(processes=4).threads_per_model == 2
    assert Settings(processes=16).threads_per_model == 1
    assert Settings(processes=4, threads=3).threads_per_model == 3


def test_every_setting_has_its_reason() -> None:
    assert all(field.description for field in Settings.model_fields.values())
