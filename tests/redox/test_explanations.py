"""Explanations: documented words only, whatever else an answer says."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, strategies as st

from chartsend.ports import Reply
from chartsend.redox.explanations import explain
from chartsend.redox.vocabulary import FHIR_ELEMENTS, MODEL_FIELDS, OAUTH_DESCRIPTIONS

NOTE_ID = "Note.DocumentID in Notes:New"


def told(body, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return explain(Reply(400, {k.replace("_", "-"): v for k, v in headers.items()}, raw))


def issue(**fields):
    return {"resourceType": "OperationOutcome", "issue": [{"severity": "error", **fields}]}


def errors(*entries):
    return {"Meta": {"DataModel": "Notes", "Errors": list(entries)}}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            issue(
                code="required",
                expression=["Bundle.entry[1].resource.content[0].attachment.contentType"],
            ),
            "required at Bundle.entry[1].resource.content[0].attachment.contentType",
        ),
        (issue(code="login"), "login"),
        (issue(code="too-costly", expression=[]), "too-costly"),
        (issue(code="made-up"), "error"),
        (issue(code=7), "error"),
        (issue(), "error"),
        (
            issue(code="invalid", expression=["Patient.birthDate", "DocumentReference.type"]),
            "invalid at Patient.birthDate, DocumentReference.type",
        ),
        (
            {"issue": [{"severity": "error", "code": "value"}, {"severity": "fatal", "code": "value"}]},
            "value",
        ),
        (
            errors(
                {
                    "ID": 84607512,
                    "Text": "Required field missing - Note.DocumentID in Notes:New",
                    "Type": "message",
                    "Module": "DataModels",
                }
            ),
            "message in DataModels (error 84607512): required field missing: " + NOTE_ID,
        ),
        (
            errors(
                {"Text": "Required field missing - Orders[].Results[0].Code in Results:NewUnsolicited"}
            ),
            "error: required field missing: Orders[].Results[0].Code in Results:NewUnsolicited",
        ),
        (
            errors(
                {
                    "Type": "message",
                    "Module": "Subscriptions",
                    "Text": "No subscriptions. Meta.Destinations needs to contain a destination from"
                    " existing subscriptions https://dashboard.redoxengine.com",
                }
            ),
            "message in Subscriptions: no subscription: the source has none to this destination",
        ),
        (
            errors({"ID": 1, "Type": "transmission", "Module": "Send", "Text": "Patient Marla"}),
            "transmission in Send (error 1)",
        ),
        (errors({"ID": "12"}), "error (error 12)"),
        (errors({"ID": True}), "error"),
        (errors({"ID": -1}), "error"),
        (errors("Marla", None, 5), "error"),
        (
            {"error": "invalid_request", "error_description": "JWT header kid property is required"},
            "invalid_request: JWT header kid property is required",
        ),
        (
            {"error": "invalid_request", "error_description": "Unexpected aud claim value"},
            "invalid_request: Unexpected aud claim value",
        ),
        ({"error": "invalid_client", "error_description": ""}, "invalid_client"),
        ({"error": "invalid_client", "error_description": "for Marla"}, "invalid_client"),
        ({"error": "made_up", "error_description": "JWT header kid property is required"}, ""),
        ({"error": {"invalid_request": 1}}, ""),
        ({"errorDetail": "Marla"}, ""),
        (b"Invalid request", ""),
        (b"", ""),
        ([], ""),
    ],
)
def test_what_may_be_repeated(body, text):
    assert told(body) == text


@pytest.mark.parametrize(
    "path",
    [
        "Quillfeather",
        "Patient.Quillfeather",
        "Patient.quillfeather",
        "Patient.name.where(family='Quillfeather')",
        "Patient.name[0].family.Marla",
        "Bundle.entry[Marla]",
        "Bundle.entry[1].",
        ".Bundle",
        "Bundle..entry",
        "Bundle.entry[12345]",
        "Bundle.entry\n",
        "bundle.entry",
        "Bundle" + ".entry" * 40,
        "",
        None,
        5,
        ["Bundle"],
    ],
)
def test_a_path_that_is_not_ours_is_not_repeated(path):
    assert told(issue(code="value", expression=[path])) == "value"


@pytest.mark.parametrize(
    "text",
    [
        "Required field missing - Patient.Quillfeather in Notes:New",
        "Required field missing - Quillfeather in Notes:New",
    ],
)
def test_a_documented_text_with_a_field_that_is_not_redox_is_told_without_it(text):
    assert told(errors({"Text": text})) == "error: a required field is missing in Notes:New"


@pytest.mark.parametrize(
    "text",
    [
        "Required field missing - Note.DocumentID in Marla:New",
        "Required field missing - Note.DocumentID in Notes:New for Marla",
        "Marla: Required field missing - Note.DocumentID in Notes:New",
        "Required field missing - Note.DocumentID, Marla in Notes:New",
        "Required field missing - Note.DocumentID in Notes:New\n",
        5,
        None,
    ],
)
def test_a_text_beside_the_documented_pattern_is_not_repeated(text):
    assert told(errors({"Text": text})) == "error"


def test_diagnostics_and_details_are_never_repeated():
    body = issue(
        code="value",
        diagnostics="MRN 0000991234",
        details={"text": "Marla Quillfeather"},
        location=["/f:Bundle"],
    )

    assert told(body) == "value"


def test_every_documented_description_of_a_token_error_is_repeated():
    for text in OAUTH_DESCRIPTIONS:
        assert told({"error": "invalid_request", "error_description": text}).endswith(text)


def test_a_web_page_is_called_one():
    assert "firewall" in told(b"<html>Request ID 77 for Marla</html>", content_type="text/html")
    assert told(b"Invalid request", content_type="text/plain") == ""


def test_many_reasons_are_counted_and_the_same_one_is_told_once():
    codes = ["required", "value", "invalid", "login", "expired", "unknown", "conflict"]
    body = {"issue": [{"severity": "error", "code": code} for code in codes for _ in range(50)]}

    assert told(body).endswith("; and 2 more")
    assert told(body).count(";") == 5


def test_five_reasons_are_told_without_counting():
    codes = ["required", "value", "invalid", "login", "expired"]
    body = {"issue": [{"severity": "error", "code": code} for code in codes]}

    assert told(body) == "; ".join(codes)


def test_of_many_paths_three_are_told():
    paths = [f"Bundle.entry[{n}]" for n in range(9)]

    assert told(issue(code="value", expression=paths)) == f"value at {', '.join(paths[:3])}"


@pytest.mark.parametrize(("steps", "is_told"), [(38, True), (39, False)])
def test_a_long_path_is_not_repeated(steps, is_told):
    path = "Patient.id" + ".name" * steps  # 200 and 205 characters

    assert told(issue(code="value", expression=[path])) == (f"value at {path}" if is_told else "value")


CANARY = "Quillfeather"


def planted(value):
    """The same JSON with the canary in every text."""
    if isinstance(value, dict):
        return {key: planted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [planted(inner) for inner in value]
    return f"{value} {CANARY}" if isinstance(value, str) else value


@given(
    st.sampled_from(["diagnostics", "expression", "code", "details", "location", "severity"]),
    st.sampled_from(["Text", "Type", "Module", "ID", "Details"]),
    st.sampled_from(["", "Patient.", "Bundle.entry[0].", "Required field missing - "]),
)
def test_a_canary_planted_anywhere_never_comes_out(issue_field, error_field, prefix):
    text = f"{prefix}{CANARY}"
    body = {
        "issue": [
            {"severity": "error", "code": "value", issue_field: text, "expression": [text]},
        ],
        "Meta": {"Errors": [{"Type": "message", error_field: text}]},
        "error": "invalid_request",
        "error_description": text,
    }

    assert CANARY not in told(body)
    assert CANARY not in told(planted(body))


def test_the_vocabularies_are_names_of_fields():
    assert all(re.fullmatch(r"[a-z][A-Za-z]*", word) for word in FHIR_ELEMENTS)
    assert all(re.fullmatch(r"[A-Z][A-Za-z]*", word) for word in MODEL_FIELDS)
