"""The table of stages agrees with itself and with what stands beside it."""

import pytest

from connectors.sinks.record_table import record_table
from models.stage import Stage
from models.stages import MODEL_STAGES, STAGES, StageSettings, stage_names
from models.stages import stage as stage_of


def test_no_stage_and_no_column_is_declared_twice() -> None:
    columns = [column.name for column in record_table({}).columns]
    for names in (stage_names(), columns):
        assert sorted(names) == sorted(set(names))


def test_every_column_says_what_it_means() -> None:
    assert not [column.name for column in record_table({}).columns if not column.meaning]


def test_a_stage_is_found_by_its_name() -> None:
    assert [stage_of(name) for name in stage_names()] == list(STAGES)


@pytest.mark.parametrize("stage", MODEL_STAGES, ids=lambda it: it.name)
def test_a_stage_with_a_model_has_a_stand_in_and_settings(stage: Stage) -> None:
    assert stage.model
    assert stage.model.fake().stage == stage.name
    assert issubclass(StageSettings, stage.model.settings)
