"""A broad set of documents makes the same bytes, or the same refusal, as when the snapshot was taken.

The snapshot holds a digest for each document and model. It is renewed, with a word in the changelog,
only when messages are meant to change: python tests/redox/test_golden_messages.py
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
from functools import partial
from pathlib import Path

import msgspec
import pytest

from chartsend.document import (
    API_OF,
    Address,
    Coding,
    Document,
    Identifier,
    Location,
    Order,
    Patient,
    Provider,
    Visit,
)
from chartsend.encoding.envelope import HOLE, render, split_at_hole
from chartsend.errors import TransferError
from chartsend.redox.content_type import resolve_content_type
from chartsend.redox.message import Facts, check, compose
from chartsend.redox.route import Route
from chartsend.settings import Destination

SNAPSHOT = Path(__file__).parent / "golden" / "messages.json"
DOCUMENTS = 240
URL = "https://blob.redoxengine.com/14652614"
WORDS = ("Wound", "Consent Form", 'a "quoted" one\\', "検査結果", "😀", " ", "\xa0", "x" * 300, "")
TIMES = (
    dt.datetime(2026, 7, 2, 10, 4, 55, tzinfo=dt.timezone(dt.timedelta(hours=-4))),
    dt.datetime(2026, 7, 2, 13, 30, 0, 999_999, tzinfo=dt.UTC),
    dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14))),
    dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.timezone(dt.timedelta(hours=-12))),
)
NAMES = (
    "a.pdf",
    "a.jpeg",
    "note.TXT",
    "letter.rtf",
    "scan",
    "a.tar.gz",
    "検査.tif",
    "a.dcm",
    "x.unheard",
)
HEADS = (b"", b"%PDF-1.7\n%\xe2\xe3", b"plain text", b"\xff\xd8\xff\xe0", b"{\\rtf1 text}", bytes(9))
DESTINATIONS = (
    Destination(name="memorial", slug="memorial-ehr", id="af394f14-b34a-464f-8d24-895f370af4c9"),
    Destination(
        name="north",
        slug="north",
        id="north-1",
        required=("Patient.Demographics.DOB", "Patient.name[].family", "Encounter.identifier"),
        identifier_systems={"MR": "urn:mr", "visit": "urn:visit", "document": "urn:document"},
        document_types={"Wound": "Wound Photo", "Consent Form": " "},
    ),
    Destination(name="south", slug=None, id=None, required=("Bundle.entry[].resource.id", "Visit")),
)


class Choices:
    """Values drawn in an order that a seed fixes, in every version of Python."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        self._scarcity = self._random.random()

    def of(self, values):
        return values[int(self._random.random() * len(values))]

    def maybe(self, value):
        """What stands in an optional field: nothing at all in some documents, much in others."""
        return value if self._random.random() > self._scarcity else None

    def word(self):
        return self.maybe(self.of(WORDS))


def described(choices):
    """A document with any of its fields there, blank or absent."""
    word, maybe, of = choices.word, choices.maybe, choices.of
    codings = tuple(
        Coding(system=of((None, "http://loinc.org", "urn:x")), code=of(WORDS), display=word())
        for _ in range(of((0, 0, 1, 2)))
    )
    patient = Patient(
        identifiers=tuple(
            Identifier(id=of(WORDS), type=of((None, "MR", "NPI", "SSN", "")), system=word())
            for _ in range(of((0, 1, 1, 2)))
        ),
        first_name=word(),
        last_name=word(),
        birth_date=maybe(dt.date(1971, 3, 9)),
        sex=maybe(of(("Female", "Male", "Nonbinary", "Other", "Unknown"))),
        phone=word(),
        email=word(),
        address=maybe(
            Address(street=word(), city=word(), state=word(), zip=word(), county=word(), country=word())
        ),
    )
    provider = Provider(id=word(), id_type=of((None, "NPI")), first_name=word(), last_name=word())
    location = Location(type=word(), facility=word(), department=word(), room=word(), bed=word())
    visit = Visit(
        number=word(),
        account_number=word(),
        class_=maybe(of(("Outpatient", "imp", "VR", "elsewhere", ""))),
        location=maybe(location),
    )
    order = Order(
        id=word(),
        application_id=word(),
        code=word(),
        codeset=maybe(of(("LOINC", "CPT", "own", ""))),
        description=word(),
        status=maybe(of(("Resulted", "resulted", "Cancel", "no such"))),
    )
    return Document(
        path="/scans/a.pdf",
        type=word(),
        title=maybe(of(NAMES)),
        description=word(),
        status=of((None, None, "final", "Final", "true", "authenticated", "current", "no such")),
        availability=of((None, None, "Available", "Obsolete")),
        replaces=of((None, None, None, "4410", "4411", "")),
        documented_at=maybe(of(TIMES)),
        service_at=maybe(of(TIMES)),
        type_codings=codings,
        patient=of((None, patient, patient, patient)),
        provider=maybe(provider),
        authenticator=of((None, provider, Provider(id="A-2", last_name="Brandt"), Provider(id=""))),
        visit=maybe(visit),
        order=maybe(order),
    )


def facts_of(choices, document):
    of = choices.of
    return Facts(
        document_id=of(("4411", "6f2d1b1e-6a0c-5c58-9b0e-0d3c1c3f7a41", "検査 7")),
        name=document.name,
        content_type=resolve_content_type(
            name="", head=b"", given=of(("application/pdf", "image/jpeg", "text/plain; charset=utf-8"))
        ),
        size_bytes=of((0, 1, 184_213)),
        at=of(TIMES),
        destination=of(DESTINATIONS),
        environment=of(("Staging", "Production")),
        source_id=of((None, "3f1c9a52-8f0e-4e53-9f0b-2a7b2d7d9e10", "not-a-uuid")),
        source_name=of((None, "Harbor Forms", " ")),
        note_content_type_for_uri=of(("Base64 Encoded", "Plain Text")),
    )


def told(make):
    """The bytes that come of it, or all that the refusal says."""
    try:
        return make()
    except TransferError as error:
        said = (error.code, error.message, getattr(error, "missing", ()), getattr(error, "problems", ()))
        return repr(said).encode()


def surrounding(message):
    envelope = split_at_hole(message)
    return envelope.prefix + b"\x00" + envelope.suffix


def outcomes(document, facts, model):
    """Every message that may be made of a document by a model."""
    api = API_OF[model]
    text = "Plain Text" if model == "notes" else None
    uploaded, embedded = Route(api, "upload", model, None, ()), Route(api, "embed", model, text, ())
    yield told(lambda: surrounding(check(document, facts, api=api, model=model)))
    yield told(lambda: render(check(document, facts, api=api, model=model, deleting=True)))
    yield told(lambda: render(compose(document, facts, uploaded, URL)))
    yield told(lambda: surrounding(compose(document, facts, embedded, HOLE)))


def case(seed):
    """Every other document has what each model requires; the rest lack it, or say what is wrong."""
    choices = Choices(seed)
    document = described(choices)
    if seed % 2:
        document = msgspec.structs.replace(
            document,
            type="Wound",
            status=None,
            availability=None,
            replaces=choices.of((None, None, None, "4410")),
            description=choices.of((None, "Signed consent")),
            patient=msgspec.structs.replace(
                document.patient or Patient(), identifiers=(Identifier(id="0000991234", type="MR"),)
            ),
            provider=Provider(id="9999999995", id_type="NPI", last_name=choices.word()),
            order=Order(id="ORD-5", application_id=choices.word(), code="PDF", codeset=choices.word()),
        )
    return document, facts_of(choices, document)


def digest(texts):
    return hashlib.sha256(b"\n".join(texts)).hexdigest()[:16]


def messages():
    """For each document a digest of its messages by model."""
    return [
        {model: digest(outcomes(*case(seed), model)) for model in API_OF} for seed in range(DOCUMENTS)
    ]


def kinds():
    """The content type of each name with each head."""
    return {
        f"{name} {number}": told(
            partial(lambda n, h: resolve_content_type(name=n, head=h, given=None).encode(), name, head)
        ).decode()
        for name in NAMES
        for number, head in enumerate(HEADS)
    }


def test_a_document_makes_the_bytes_it_always_made():
    made, expected = messages(), json.loads(SNAPSHOT.read_text())["messages"]

    assert [seed for seed in range(DOCUMENTS) if made[seed] != expected[seed]] == []


def test_a_file_has_the_type_it_always_had():
    assert kinds() == json.loads(SNAPSHOT.read_text())["kinds"]


@pytest.mark.parametrize("model", API_OF)
def test_the_set_holds_messages_and_refusals_of_every_model(model):
    checked = [next(outcomes(*case(seed), model)) for seed in range(DOCUMENTS)]
    accepted = sum(text.startswith(b"{") for text in checked)

    assert 10 < accepted < DOCUMENTS - 10


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps({"messages": messages(), "kinds": kinds()}, indent=0) + "\n")
