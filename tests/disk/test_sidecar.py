"""Descriptions on disk: used whole, or refused with the key and without the value."""

from __future__ import annotations

import json
import os

import pytest

from chartsend.disk.sidecar import is_lone_sidecar, read_metadata, read_sidecar
from chartsend.errors import ConfigError, InvalidDocumentError


@pytest.fixture
def sidecar(tmp_path):
    """A function: content of the sidecar to the path of the file beside it."""

    def write(content):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (tmp_path / "a.pdf.json").write_bytes(data)
        return str(tmp_path / "a.pdf")

    return write


def refused(path):
    with pytest.raises(InvalidDocumentError) as caught:
        read_sidecar(path)
    return caught.value.message


def test_without_a_sidecar_nothing_is_said(tmp_path):
    assert read_sidecar(str(tmp_path / "a.pdf")) == {}
    assert read_sidecar(str(tmp_path / "no" / "a.pdf")) == {}


def test_a_sidecar_is_read(sidecar):
    content = {"type": "Note", "patient": {"birth_date": "1971-03-09"}, "document_id": "d"}

    assert read_sidecar(sidecar(content)) == content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"tipe": "SECRET"}, "unknown key `tipe`; did you mean `type`?"),
        ({"patient": {"birth_date": "SECRET"}}, "`patient.birth_date`"),
        ({"patient": {"identifiers": [{"type": "SECRET"}]}}, "id"),
        ({"title": "a\nSECRET"}, "title has a control character"),
        ({"path": "/etc/SECRET"}, "has `path`"),
        ({"to": "SECRET"}, "has `to`, which only a manifest's row may have"),
        ({"model": "notes"}, "has `model`"),
        ({"content": "SECRET"}, "`content`"),
        ([{"type": "SECRET"}], "not a JSON object"),
        (b'{"type": "a", "type": "SECRET"}', "a key twice"),
        (b'{"patient": {"sex": "Male", "sex": "Female"}}', "a key twice"),
        (b'{"type": NaN}', "NaN"),
        (b'{"type": "SECRET', "not valid JSON (line 1)"),
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"a":' * 100_00 + b"1" + b"}" * 100_00, "JSON"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "nested deeper than 32"),
        (b'{"type": "' + b"x" * 262_144 + b'"}', "larger than 262144 bytes"),
        (b'{"type": ' + b"9" * 5000 + b"}", "more than 20 digits"),
    ],
    ids=lambda value: None if isinstance(value, (bytes, list, dict)) else value,
)
def test_a_sidecar_that_is_not_understood_is_refused(sidecar, content, said):
    message = refused(sidecar(content))

    assert said in message
    assert "SECRET" not in message
    assert "a.pdf" not in message


def test_a_sidecar_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "other").write_text("{}")
    (tmp_path / "a.pdf.json").symlink_to("other")

    assert "not followed" in refused(str(tmp_path / "a.pdf"))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_sidecar_that_is_no_file_is_refused_without_waiting(tmp_path, make):
    make(tmp_path / "a.pdf.json")

    assert "not a regular file" in refused(str(tmp_path / "a.pdf"))


@pytest.mark.parametrize(
    ("name", "content", "is_one"),
    [
        ("gone.pdf.json", '{"patient": {"first_name": "A"}}', True),
        ("gone.pdf.json", '{"patient": {"frist_name": "A"}}', True),
        ("gone.pdf.json", '{"document_id": "d", "to": "x"}', True),
        ("folder.json", '{"type": "Note"}', True),
        ("gone.pdf.json", '{"title": "A"}', False),
        ("gone.pdf.json", "{}", False),
        ("gone.pdf.json", '{"type": "Bundle", "entry": []}', False),
        ("gone.pdf.json", '[{"type": "Note"}]', False),
        ("gone.pdf.json", '{"type": "Note"', False),
        ("report.json", '{"type": "Note"}', False),
        ("gone.pdf.txt", '{"type": "Note"}', False),
    ],
)
def test_a_description_without_its_file_is_told_from_a_json_document(tmp_path, name, content, is_one):
    (tmp_path / "folder").mkdir()
    (tmp_path / name).write_text(content)

    assert is_lone_sidecar(str(tmp_path / name)) is is_one


def test_metadata_is_json_or_toml(tmp_path):
    (tmp_path / "m.json").write_text('{"type": "A"}')
    (tmp_path / "m.toml").write_text('type = "B"\n[patient]\nbirth_date = 1971-03-09\n')

    assert read_metadata(str(tmp_path / "m.json")) == {"type": "A"}
    assert str(read_metadata(str(tmp_path / "m.toml"))["patient"]["birth_date"]) == "1971-03-09"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("m.toml", "type = ", "not valid TOML"),
        ("m.json", "{", "not valid JSON"),
        ("m.json", '{"document_id": "d"}', "`document_id`, which names one document"),
        ("m.json", '{"replaces": "d"}', "`replaces`"),
        ("m.toml", 'tipe = "x"', "did you mean `type`?"),
    ],
)
def test_metadata_that_cannot_be_a_default_is_refused(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)

    with pytest.raises(ConfigError) as caught:
        read_metadata(str(tmp_path / name))

    assert said in caught.value.message
    assert caught.value.message.startswith("--metadata")


def test_metadata_that_is_missing_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_metadata(str(tmp_path / "none.json"))
