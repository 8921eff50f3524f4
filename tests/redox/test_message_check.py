"""What a document lacks and what is wrong with it: all at once, in Redox's spelling, no values."""

from __future__ import annotations

import pytest

from chartsend.document import Document, Identifier, Order, Patient, Provider, Visit
from chartsend.errors import ConfigError, InvalidDocumentError
from chartsend.redox.message import check, compose
from chartsend.redox.required import REQUIRED, lacking
from chartsend.redox.route import Route
from chartsend.redox.valuesets import statuses
from chartsend.settings import Destination

EMPTY = Document(path="/scans/a.pdf")


def api_of(model):
    return "fhir" if model in {"document-reference", "diagnostic-report"} else "data-model"


def refused(document, facts, model, **options):
    with pytest.raises(InvalidDocumentError) as caught:
        check(document, facts, api=api_of(model), model=model, **options)
    return caught.value


@pytest.mark.parametrize(
    ("model", "missing"),
    [
        ("document-reference", ("Patient.identifier", "DocumentReference.type")),
        ("diagnostic-report", ("Patient.identifier", "DiagnosticReport.code")),
        ("notes", ("Patient.Identifiers", "Note.DocumentType", "Note.Provider.ID")),
        ("media", ("Patient.Identifiers", "Media.DocumentType", "Media.Provider.ID")),
        (
            "results",
            ("Patient.Identifiers", "Orders[].ApplicationOrderID", "Orders[].Results[].Code"),
        ),
    ],
)
def test_an_empty_document_lacks_everything_at_once(facts, model, missing):
    error = refused(EMPTY, facts(), model)

    assert error.missing == missing
    assert error.problems == ()
    assert all(path in error.message for path in missing)


def test_the_message_names_the_field_that_fills_the_gap(facts):
    message = refused(EMPTY, facts(), "notes").message

    assert message.startswith("Notes New lacks ")
    assert "Note.DocumentType (`type`)" in message
    assert "Note.Provider.ID (`provider.id`)" in message


def test_a_file_without_a_name_lacks_its_name_in_the_data_models(bare, facts):
    given = facts(name="")

    assert refused(bare(), given, "notes").missing == ("Note.FileName",)
    assert refused(bare(), given, "media").missing == ("Media.FileName",)


@pytest.mark.parametrize(
    ("identifiers", "missing"),
    [
        ((Identifier(id="1"),), ("Patient.Identifiers[].IDType",)),
        ((Identifier(id="1", type="MR"), Identifier(id="2")), ("Patient.Identifiers[].IDType",)),
        ((Identifier(id="", type="MR"),), ("Patient.Identifiers[].ID",)),
        ((Identifier(id=" ", type=" "),), ("Patient.Identifiers",)),
    ],
)
def test_every_identifier_of_a_data_model_needs_value_and_type(bare, facts, identifiers, missing):
    document = bare(patient=Patient(identifiers=identifiers))

    assert refused(document, facts(), "notes").missing == missing


def test_blank_text_is_no_value(bare, facts):
    document = bare(type=" ", provider=Provider(id="\u00a0"))

    assert refused(document, facts(), "notes").missing == ("Note.DocumentType", "Note.Provider.ID")


@pytest.mark.parametrize("model", ["notes", "media"])
def test_a_delete_needs_what_its_model_needs_without_the_file(bare, facts, model):
    check(bare(), facts(), api="data-model", model=model, deleting=True)

    error = refused(EMPTY, facts(), model, deleting=True)

    assert "Patient.Identifiers" in error.missing
    assert not any("FileContents" in path for path in error.missing)
    assert "Delete" in error.message


@pytest.mark.parametrize("model", ["results", "document-reference"])
def test_a_delete_of_another_model_is_a_wrong_wish(bare, facts, model):
    with pytest.raises(ConfigError, match="no Delete"):
        check(bare(), facts(), api=api_of(model), model=model, deleting=True)


def test_a_model_of_the_other_api_is_a_wrong_wish(bare, facts):
    with pytest.raises(ConfigError, match="document-reference or diagnostic-report"):
        check(bare(), facts(), api="fhir", model="notes")


def test_a_result_of_an_order_needs_no_application_id(bare, facts):
    check(bare(order=Order(id="O", code="C")), facts(), api="data-model", model="results")


def test_somebody_who_signed_is_named(bare, facts):
    assert refused(bare(status="True"), facts(), "media").missing == ("Media.Authenticator.ID",)
    check(
        bare(status="True", authenticator=Provider(id="A")),
        facts(),
        api="data-model",
        model="media",
    )


@pytest.mark.parametrize(
    ("model", "path", "fields"),
    [
        ("notes", "Patient.Demographics.DOB", {}),
        ("notes", "Visit.VisitNumber", {"visit": Visit(account_number="A")}),
        ("notes", "Note.Provider.IDType", {}),
        ("media", "Media.CreationDateTime", {}),
        ("document-reference", "Patient.birthDate", {}),
        ("document-reference", "Encounter.identifier", {}),
        ("document-reference", "DocumentReference.content[].attachment.creation", {}),
        ("document-reference", "DocumentReference.context.period", {}),
        ("document-reference", "Note.NoSuchField", {}),
    ],
)
def test_a_destination_may_require_more(bare, facts, model, path, fields):
    to = Destination(name="m", slug="m", id="m", required=(path,))

    assert refused(bare(**fields), facts(destination=to), model).missing == (path,)
    assert path in refused(bare(**fields), facts(destination=to), model).message


@pytest.mark.parametrize(
    ("model", "paths"),
    [
        (
            "notes",
            (
                "Patient.Demographics.DOB",
                "Patient.Demographics.Address.ZIP",
                "Visit.Location.Bed",
                "Note.Authenticator.ID",
                "Orders[].ID",
                "Meta.Source.ID",
            ),
        ),
        (
            "document-reference",
            (
                "Patient.birthDate",
                "Patient.name[].family",
                "Practitioner.identifier",
                "Encounter.identifier[0].value",
                "DocumentReference.type.coding[].code",
                "DocumentReference.content[0].attachment.size",
                "Bundle.timestamp",
            ),
        ),
    ],
)
def test_a_full_document_meets_what_a_destination_requires(full, facts, model, paths):
    to = Destination(name="m", slug="m", id="m", required=paths)

    check(full(), facts(destination=to), api=api_of(model), model=model)


@pytest.mark.parametrize(
    "model", ["document-reference", "diagnostic-report", "notes", "media", "results"]
)
def test_a_status_is_one_of_its_models_own(bare, facts, model):
    order = Order(id="O", code="C")
    for status in statuses(model):
        document = bare(status=status, order=order, authenticator=Provider(id="A"))
        check(document, facts(), api=api_of(model), model=model)
        shouted = bare(status=status.upper(), order=order, authenticator=Provider(id="A"))
        check(shouted, facts(), api=api_of(model), model=model)

    error = refused(bare(status="Quillfeather", order=order), facts(), model)

    assert error.missing == ()
    assert len(error.problems) == 1
    assert statuses(model)[0] in error.problems[0]
    assert "Quillfeather" not in error.message


def test_an_order_status_is_one_of_its_set_and_for_results_only(bare, facts):
    order = Order(id="O", code="C", status="Finished")

    assert "Resulted" in refused(bare(order=order), facts(), "results").problems[0]
    assert "no place" in refused(bare(order=order), facts(), "notes").problems[0]
    check(bare(order=Order(id="O", status="Resulted")), facts(), api="data-model", model="notes")


@pytest.mark.parametrize(
    ("model", "fields", "word"),
    [
        ("document-reference", {"availability": "Obsolete"}, "availability"),
        ("diagnostic-report", {"availability": "Deleted"}, "availability"),
        ("results", {"availability": "Deleted", "order": Order(id="O", code="C")}, "availability"),
        ("diagnostic-report", {"replaces": "4410"}, "replaces"),
        ("results", {"replaces": "4410", "order": Order(id="O", code="C")}, "replaces"),
        ("diagnostic-report", {"description": "words"}, "description"),
        ("notes", {"order": Order(application_id="A")}, "order.id"),
        ("media", {"order": Order(description="Panel")}, "order.id"),
        ("document-reference", {"order": Order(code="PDF_REPORT")}, "order.id"),
        ("document-reference", {"order": Order(codeset="LOINC")}, "order.id"),
        ("notes", {"replaces": "4411"}, "document_id"),
        ("document-reference", {"replaces": "4411"}, "document_id"),
    ],
)
def test_nothing_that_was_said_is_dropped_without_a_word(bare, facts, model, fields, word):
    error = refused(bare(**fields), facts(), model)

    assert error.missing == ()
    assert len(error.problems) == 1
    assert word in error.problems[0]


def test_what_says_nothing_new_has_no_place_and_does_no_harm(bare, facts):
    for model in ("document-reference", "diagnostic-report"):
        check(bare(availability="Available"), facts(), api="fhir", model=model)


@pytest.mark.parametrize(
    ("model", "order"),
    [
        ("document-reference", Order(application_id="A")),
        ("document-reference", Order(id="O", code="C", codeset="LOINC")),
        ("document-reference", Order()),
        ("notes", Order(id="O", application_id="A")),
        ("diagnostic-report", Order(code="C")),
        ("diagnostic-report", Order(description="Panel")),
    ],
)
def test_an_order_that_is_named_has_a_place(bare, facts, model, order):
    check(bare(order=order), facts(), api=api_of(model), model=model)


def test_a_delete_replaces_nothing(bare, facts):
    error = refused(bare(replaces="4410"), facts(), "notes", deleting=True)

    assert "replaces has no place in a Delete" in error.message


def test_missing_fields_and_problems_come_together_and_quote_no_value(facts):
    document = Document(
        path="/scans/quillfeather.pdf",
        title="Marla Quillfeather",
        status="Marla",
        patient=Patient(first_name="Marla", last_name="Quillfeather"),
    )

    error = refused(document, facts(name=document.name), "notes")

    assert error.missing == ("Patient.Identifiers", "Note.DocumentType", "Note.Provider.ID")
    assert len(error.problems) == 1
    assert "Marla" not in error.message
    assert "uillfeather" not in error.message


def test_what_is_required_is_what_a_full_message_has(full, facts):
    """No path of the tables may be misspelt: each is found in a message that has everything."""
    order = Order(id="O", application_id="A", code="C")
    for name, paths in REQUIRED.items():
        data_model, _, event = name.partition(":")
        model = data_model.lower() if event else name
        replaces = "4410" if event == "Replace" else None
        document = full(order=order, description=None, replaces=replaces)

        message = compose(
            document, facts(), Route(api_of(model), "upload", model, None, ()), "https://x/1"
        )

        assert lacking(message, paths) == ()


def test_a_path_below_a_missing_one_is_not_reported_too():
    message = {"A": {"B": [{"C": 1}, {"D": 2}]}, "E": "text"}

    assert lacking({"resourceType": "Bundle"}, ("Patient.id",)) == ("Patient.id",)
    assert lacking(message, ("A.B[].C", "A.B[].C.X", "E.F", "G", "G.H", "G[].I", "G")) == (
        "A.B[].C",
        "E.F",
        "G",
    )
