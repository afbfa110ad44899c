"""The document of a record's columns is that of the table."""

from connectors.topics.record_document import record_document
from tests.folders import ROOT


def test_the_document_is_that_of_the_table() -> None:
    told = "write it anew: python -m connectors.topics.record_document > docs/record.md"
    assert (ROOT / "docs" / "record.md").read_text(encoding="utf-8") == record_document(), told
