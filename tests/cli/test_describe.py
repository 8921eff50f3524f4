"""Descriptions: from options, and of several levels."""

from __future__ import annotations

import datetime as dt

import click
import pytest
from click.testing import CliRunner

from chartsend.cli.describe import description_options, from_options, merge
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


def test_the_more_particular_level_wins_key_by_key():
    merged = merge(
        {"type": "B", "patient": {"sex": "Male"}, "type_codings": [{"code": "1"}]},
        {"type": "A", "title": "T", "patient": {"first_name": "F"}, "type_codings": [{"code": "2"}, {}]},
    )

    assert merged == {
        "type": "B",
        "title": "T",
        "patient": {"sex": "Male", "first_name": "F"},
        "type_codings": [{"code": "1"}],
    }


def test_identifiers_from_one_level_and_a_name_from_another_are_one_patient():
    merged = merge({"patient": {"identifiers": [{"id": "1"}]}}, {"patient": {"first_name": "F"}})

    assert merged["patient"] == {"identifiers": [{"id": "1"}], "first_name": "F"}


def test_another_patients_name_and_birth_date_are_never_mixed_in():
    merged = merge(
        {"patient": {"identifiers": [{"id": "2", "type": "MR"}]}},
        {"patient": {"identifiers": [{"id": "1", "type": "MR"}], "last_name": "L", "sex": "Male"}},
    )

    assert merged["patient"] == {"identifiers": [{"id": "2", "type": "MR"}]}


def test_another_providers_name_is_never_mixed_in():
    merged = merge({"provider": {"id": "2"}}, {"provider": {"id": "1", "last_name": "L"}})

    assert merged["provider"] == {"id": "2"}


def test_an_orders_code_can_be_a_default_for_many_orders():
    merged = merge({"order": {"id": "2"}}, {"order": {"id": "1", "code": "PDF_REPORT"}})

    assert merged["order"] == {"id": "2", "code": "PDF_REPORT"}


def test_merging_changes_neither_level():
    particular, general = {"patient": {"sex": "Male"}}, {"patient": {"first_name": "F"}}

    merge(particular, general)

    assert (particular, general) == ({"patient": {"sex": "Male"}}, {"patient": {"first_name": "F"}})


def test_a_newcomer_gets_a_whole_made_up_description():
    whole, lacking = fill({}, model="results")

    assert lacking == ("type", "patient", "provider", "visit", "order")
    assert parse_shape(Document, whole).order.id == "LAB-77120"


def test_nothing_is_made_up_about_a_patient_who_was_given():
    whole, lacking = fill({"patient": {"identifiers": [{"id": "5"}]}, "type": "T"}, model="notes")

    assert lacking == ("provider", "visit")
    assert whole["patient"] == {"identifiers": [{"id": "5"}]}
    assert "order" not in whole
