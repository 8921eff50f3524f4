"""Descriptions from options, and what is made up for a newcomer."""

from __future__ import annotations

import datetime as dt

import click
import pytest
from click.testing import CliRunner

from chartsend.cli.describe import description_options, from_options
from chartsend.cli.made_up import fill
from chartsend.document import Document
from chartsend.shape import parse_shape


def described(*arguments):
    seen = {}

    @click.command()
    @description_options()
    def verb(**given):
        seen.update(given)

    result = CliRunner().invoke(verb, arguments)
    assert result.exit_code == 0, result.output
    return from_options(seen["described"]), seen


def test_every_option_has_its_place_in_the_document():
    whole, seen = described(
        *("--patient", "0000991234:MR", "--patient", "a:b:EPI", "--patient", "77"),
        *("--patient-name", "Marla Quillfeather", "--birth-date", "1971-03-09"),
        *("--provider", "9999999995:NPI", "--type", "Consent Form", "--visit", "V-17"),
        *("--order", "LAB-77120", "--code", "PDF_REPORT", "--document-id", "d-1"),
        *("--api", "data-model", "--model", "results", "--method", "embed", "--metadata", "m.toml"),
    )

    assert whole == {
        "document_id": "d-1",
        "type": "Consent Form",
        "patient": {
            "identifiers": [
                {"id": "0000991234", "type": "MR"},
                {"id": "a:b", "type": "EPI"},
                {"id": "77"},
            ],
            "first_name": "Marla",
            "last_name": "Quillfeather",
            "birth_date": dt.date(1971, 3, 9),
        },
        "provider": {"id": "9999999995", "id_type": "NPI"},
        "visit": {"number": "V-17"},
        "order": {"id": "LAB-77120", "code": "PDF_REPORT"},
    }
    assert (seen["api"], seen["model"], seen["method"]) == ("data-model", "results", "embed")
    assert seen["metadata"] == "m.toml"
    assert parse_shape(Document, whole).document_id == "d-1"


def test_what_was_not_given_is_absent():
    whole, seen = described()

    assert whole == {}
    assert (seen["api"], seen["model"], seen["method"], seen["metadata"]) == (None, None, None, None)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("Marla Quillfeather", "Marla", "Quillfeather"),
        ("de la Cruz, Maria", "Maria", "de la Cruz"),
        ("Quillfeather,Marla Ann", "Marla Ann", "Quillfeather"),
    ],
)
def test_a_name_is_divided_only_where_it_is_clear(text, first, last):
    whole, _ = described("--patient-name", text)

    assert whole["patient"] == {"first_name": first, "last_name": last}


def test_a_newcomer_gets_a_whole_made_up_description():
    whole, lacking = fill({}, model="results")

    assert lacking == ("type", "patient", "provider", "visit", "order")
    assert parse_shape(Document, whole).order.id == "LAB-77120"


def test_nothing_is_made_up_about_a_patient_who_was_given():
    whole, lacking = fill({"patient": {"identifiers": [{"id": "5"}]}, "type": "T"}, model="notes")

    assert lacking == ("provider", "visit")
    assert whole["patient"] == {"identifiers": [{"id": "5"}]}
    assert "order" not in whole
