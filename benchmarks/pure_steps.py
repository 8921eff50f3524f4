"""What the pure steps of one document cost, from its description to the finished bytes, and back.

The one rule: the steps are those of a send, called as `Sender` calls them, in one process without a
file, a loop or a network; the best of several runs counts, since others only ever make one slower.

    python -m benchmarks.pure_steps [DOCUMENTS]
"""

from __future__ import annotations

import datetime as dt
import gc
import platform
import sys
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from chartsend.aio import Deadline
from chartsend.document import (
    API_OF,
    Address,
    Coding,
    Document,
    Identifier,
    Order,
    Patient,
    Provider,
    Visit,
)
from chartsend.encoding.envelope import HOLE, render, split_at_hole
from chartsend.ports import Reply
from chartsend.redox import message, replies, route
from chartsend.redox.content_type import resolve_content_type
from chartsend.send import Asking
from chartsend.send.choosing import choose_for, facts_of
from chartsend.settings import Destination, Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from chartsend.document import Model

RUNS = 9
SIZE_BYTES = 100_000
HEAD = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(range(256)) * 32
URL = "https://blob.redoxengine.com/upload/0f5e8c1a-0b7e-4f0e-9d6e-1a2b3c4d5e6f"
ANSWERS = {
    "data-model": b'{"Meta":{"DataModel":"Notes","EventType":"New","Message":{"ID":5565},'
    b'"Source":{"ID":"3f1c9a52-8f0e-4e53-9f0b-2a7b2d7d9e10","Name":"Harbor Forms"},'
    b'"Destinations":[{"ID":"af394f14-b34a-464f-8d24-895f370af4c9","Name":"memorial"}],'
    b'"Logs":[{"ID":"d9f5d293-7110-461e-a875-3beb089e79f3"}]}}',
    "fhir": b'{"resourceType":"Bundle","id":"0d4a0f6e-2b7c-5d8e-9f00-112233445566","entry":[{"response"'
    b':{"status":"201 Created","location":"https://api.redoxengine.com/fhir/R4/memorial-ehr/Staging'
    b'/DocumentReference/4411/_history/1"}}],"type":"transaction-response"}',
}
SETTINGS = Settings(
    environment="Staging",
    source_id="3f1c9a52-8f0e-4e53-9f0b-2a7b2d7d9e10",
    source_name="Harbor Forms",
    destinations={
        "memorial": Destination(
            name="memorial",
            slug="memorial-ehr",
            id="af394f14-b34a-464f-8d24-895f370af4c9",
            identifier_systems={"MR": "urn:redox:health-one:MR"},
        )
    },
)


class Way(NamedTuple):
    """One way that a document goes."""

    name: str
    model: Model
    method: Literal["upload", "embed"]


WAYS = (
    Way("fhir embed", "document-reference", "embed"),
    Way("fhir upload", "document-reference", "upload"),
    Way("report embed", "diagnostic-report", "embed"),
    Way("notes embed", "notes", "embed"),
    Way("media upload", "media", "upload"),
    Way("results embed", "results", "embed"),
)


def described(number: int) -> Document:
    """A document as a service makes it: one file of one patient's visit."""
    return Document(
        path=f"/srv/scans/2026/07/{number:08}.pdf",
        type="Consent Form",
        title="Consent to surgery.pdf",
        documented_at=dt.datetime(2026, 7, 2, 10, 4, 55, tzinfo=dt.UTC),
        type_codings=(Coding(system="http://loinc.org", code="59284-0", display="Consent Document"),),
        patient=Patient(
            identifiers=(Identifier(id=f"{number:010}", type="MR"), Identifier(id="E-7", type="EHRID")),
            first_name="Marla",
            last_name="Quillfeather",
            birth_date=dt.date(1971, 3, 9),
            sex="Female",
            address=Address(street="1 Pier Rd", city="Monroe", state="WI", zip="53566"),
        ),
        provider=Provider(id="9999999995", id_type="NPI", first_name="Tess", last_name="Oduya"),
        visit=Visit(number=f"V-{number}", class_="Outpatient"),
        order=Order(id=f"ORD-{number}", code="PDF_REPORT", description="Report"),
    )


class Case:
    """One document on one way, and every pure step of its send as a method."""

    def __init__(self, way: Way, number: int) -> None:
        headers = {"content-type": "application/json", "redox-trace-id": "0f5e8c1a0b7e4f0e"}
        self._number = number
        self._method = way.method
        self._api = API_OF[way.model]
        self._asking = Asking.of(
            SETTINGS, to="memorial", api=None, method=way.method, model=way.model, note_text=None
        )
        self._deadline = Deadline.after(None)
        self._document = described(number)
        self._ask = self._asking.ask(self._document, deadline=self._deadline)
        self._chosen = choose_for(self._ask, head=HEAD, size_bytes=SIZE_BYTES, settings=SETTINGS)
        facts = self._chosen.facts
        self._made = message.compose(self._document, facts, self._chosen.route, HOLE)
        self._uploaded = Reply(201, {**headers, "location": URL}, b'{"URI":"%s"}' % URL.encode())
        self._answer = Reply(200, headers, ANSWERS[self._api])

    def describe(self) -> None:
        """The description itself, checked as it is made; a part of no send."""
        described(self._number)

    def ask(self) -> None:
        """What is asked, with the derived identity."""
        self._asking.ask(self._document, deadline=self._deadline)

    def choose(self) -> None:
        """Type, facts, checks, envelope and route: the next five steps in one."""
        choose_for(self._ask, head=HEAD, size_bytes=SIZE_BYTES, settings=SETTINGS)

    def type(self) -> None:
        """The content type from the first bytes and the name."""
        given = self._document.content_type
        resolve_content_type(name=self._document.name, head=HEAD, given=given)

    def facts(self) -> None:
        """What a message says beyond its description."""
        facts_of(self._ask, "application/pdf", SIZE_BYTES, SETTINGS)

    def check(self) -> None:
        """The message with its hole, and what it lacks."""
        message.check(self._document, self._chosen.facts, api=self._api, model=self._ask.model)

    def split(self) -> None:
        """The bytes around the hole."""
        split_at_hole(self._made)

    def route(self) -> None:
        """The way the file goes."""
        route.choose(
            self._ask.wish,
            size_bytes=SIZE_BYTES,
            content_type="application/pdf",
            overhead_bytes=2000,
            destination=self._ask.destination,
            settings=SETTINGS,
        )

    def upload_read(self) -> None:
        """The answer to an upload."""
        if self._method == "upload":
            replies.explain(self._uploaded)
            replies.read_upload(
                self._uploaded, api=self._api, request_url=URL, allowed_hosts=SETTINGS.reference_hosts
            )

    def refer(self) -> None:
        """The message that refers to an uploaded file."""
        if self._method == "upload":
            made = message.compose(self._document, self._chosen.facts, self._chosen.route, URL)
            length = len(render(made))
            route.check_request_size(length, destination=self._ask.destination, settings=SETTINGS)

    def message_read(self) -> None:
        """The answer to a message."""
        replies.explain(self._answer)
        replies.read_message(self._answer, api=self._api)

    def send(self) -> None:
        """Every pure step of a send, one after another."""
        self.ask()
        self.choose()
        self.upload_read()
        self.refer()
        self.message_read()


STEPS = (
    Case.describe,
    Case.type,
    Case.facts,
    Case.check,
    Case.split,
    Case.route,
    Case.ask,
    Case.choose,
    Case.upload_read,
    Case.refer,
    Case.message_read,
    Case.send,
)


def step_us(step: Callable[[Case], None], cases: list[Case]) -> float:
    """Microseconds of processor time that a step takes for one document, once around all of them."""
    began_s = time.process_time()
    for case in cases:
        step(case)
    return (time.process_time() - began_s) / len(cases) * 1e6


def main(documents: int) -> None:
    """Measure and print a table: a row for each step, a column for each way."""
    ways = [[Case(way, number) for number in range(documents)] for way in WAYS]
    gc.freeze()  # what stands ready here is no litter of the steps
    best = [[float("inf")] * len(ways) for _ in STEPS]
    for _ in range(RUNS):
        for row, step in zip(best, STEPS, strict=True):
            row[:] = [min(us, step_us(step, cases)) for us, cases in zip(row, ways, strict=True)]
    print(f"{'us':14}" + "".join(f"{way.name:>16}" for way in WAYS))
    for row, step in zip(best, STEPS, strict=True):
        print(f"{step.__name__:14}" + "".join(f"{us:16.1f}" for us in row))
    print(
        f"best of {RUNS} times {documents} documents; Python {platform.python_version()},"
        f" chartsend {version('chartsend')}, {platform.machine()}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
