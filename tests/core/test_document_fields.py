"""A misspelt field is found where it is typed: by a type checker, and by what the call raises."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

import chartsend
from chartsend import Document, Patient
from chartsend.document import CommonFields, Demographics, DocumentFields
from chartsend.errors import InvalidDocumentError

PROGRAM = """
import datetime as dt
import os
from collections.abc import AsyncIterator
from pathlib import Path

from chartsend import Address, Coding, Document, Order, Patient, Provider, Visit


def right(path: os.PathLike[str]) -> None:
    marla = Patient.identified(
        "0000991234",
        "MR",
        first_name="Marla",
        last_name="Quillfeather",
        birth_date=dt.date(1971, 3, 9),
        sex="Female",
        address=Address(zip="53566"),
    )
    Document.from_path(path)
    Document.from_path(Path("a.pdf"), title="A", type="Consent Form", patient=marla)
    Document.from_path("a.pdf", type_codings=(Coding(code="1"),), availability="Available")
    Document.from_bytes(b"", title="A", provider=Provider(id="1"), order=Order(id="2"))
    Document.from_stream(chunks, size_bytes=0, title="A", visit=Visit(number="V-1"))


def wrong(path: os.PathLike[bytes]) -> None:
    Document.from_path("a.pdf", tpye="X")  # wrong
    Document.from_path("a.pdf", patient="nobody")  # wrong
    Patient.identified("0000991234", "MR", frist_name="x")  # wrong
    Document.from_path(b"a.pdf")  # wrong
    Document.from_path(path)  # wrong
    Document.from_bytes(b"", title="A", sex="Female")  # wrong
    Document.from_bytes(b"", type="X")  # wrong
    Document.from_stream(chunks, size_bytes=0, title="A", visit="V-1")  # wrong


def chunks() -> AsyncIterator[bytes]:
    raise NotImplementedError
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("checker", "options"),
    [("mypy", ("--strict", "--no-incremental", "--follow-imports=silent")), ("pyright", ())],
)
def test_a_type_checker_refuses_what_is_no_field_and_takes_what_is_one(tmp_path, checker, options):
    engine = str(Path(chartsend.__file__).parent.parent)
    (tmp_path / "program.py").write_text(PROGRAM)
    strict = {"typeCheckingMode": "strict", "extraPaths": [engine]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(strict))

    done = subprocess.run(
        [sys.executable, "-m", checker, *options, "program.py"],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": engine},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    refused = re.findall(r"program\.py:(\d+):.*error:", done.stdout)
    wrong = [at for at, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# wrong")]
    assert [int(at) for at in refused] == wrong, done.stdout


@pytest.mark.parametrize(
    ("keywords", "shape", "others"),
    [
        (DocumentFields, Document, {"path", "content"}),
        (CommonFields, Document, {"path", "content", "title"}),
        (Demographics, Patient, {"identifiers"}),
    ],
)
def test_the_keywords_are_the_fields_of_the_shape_with_their_types(keywords, shape, others):
    fields = {field.name: field.type for field in msgspec.structs.fields(shape)}

    assert get_type_hints(keywords, include_extras=True) == {
        name: kind for name, kind in fields.items() if name not in others
    }
    assert others < fields.keys()
    assert not keywords.__required_keys__


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: Document.from_path("a", tpye="C"),
            "Document has no field `tpye`; did you mean `type`?",
        ),
        (
            lambda: Document.from_bytes(b"", title="A", pateint="C"),
            "Document has no field `pateint`; did you mean `patient`?",
        ),
        (
            lambda: Document.from_stream(aiter, size_bytes=0, title="A", vist="C"),
            "Document has no field `vist`; did you mean `visit`?",
        ),
        (
            lambda: Patient.identified("1", "MR", frist_name="C"),
            "Patient has no field `frist_name`; did you mean `first_name`?",
        ),
        (lambda: Document.from_path("a", zzz="C"), "Document has no field `zzz`"),
    ],
)
def test_a_misspelt_field_is_named_with_the_nearest_one(make, says):
    with pytest.raises(TypeError) as caught:
        make()

    assert str(caught.value) == says


def test_what_is_wrong_with_a_value_is_said_as_ever():
    with pytest.raises(InvalidDocumentError, match="patient is of the wrong type"):
        Document.from_path("a", patient="nobody")


def test_a_path_may_be_what_has_one(tmp_path):
    class Spelt:
        def __fspath__(self):
            return "a.pdf"

    assert Document.from_path(tmp_path / "a.pdf").path == str(tmp_path / "a.pdf")
    assert Document.from_path(Spelt()) == Document.from_path("a.pdf") == Document(path="a.pdf")


class _OfBytes:
    def __fspath__(self):
        return b"CANARY"


@pytest.mark.parametrize("path", [b"CANARY", _OfBytes(), 3, None])
def test_a_path_that_is_no_text_is_refused(path):
    with pytest.raises(TypeError, match=r"a path is a str or a pathlib\.Path, not ") as caught:
        Document.from_path(path)

    assert "CANARY" not in str(caught.value)
