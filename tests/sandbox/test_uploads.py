"""Files are uploaded through FHIR's Binary and through the Data Model's form."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from urllib.parse import urlsplit

import pytest

from chartsend.testing.sandbox import SandboxError

FHIR = "application/fhir+json"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_a_raw_binary_gives_a_location_and_one_event(sandbox, client):
    content = os.urandom(100_001)

    answer = client.binary(content, "image/png")

    location = answer.headers["Location"]
    assert answer.status == 201
    assert location.startswith(sandbox.info.blob_url + "/upload/")
    assert answer.headers["Redox-Trace-Id"]
    assert answer.json() == {
        "resourceType": "Binary",
        "id": location.rpartition("/")[2],
        "contentType": "image/png",
    }
    event = sandbox.events()[-1]
    assert event | {"at": "", "seq": 0} == {
        "seq": 0,
        "at": "",
        "kind": "blob",
        "api": "fhir",
        "method": "upload",
        "model": None,
        "event_type": None,
        "destination": None,
        "document_id": None,
        "reference": location,
        "bytes": len(content),
        "sha256": sha256(content),
        "log_id": None,
    }
    assert sandbox.file(sha256(content)) == content
    assert sandbox.file(location.rpartition("/")[2]) == content


def test_a_fhir_json_binary_is_decoded(sandbox, client):
    for content in (b"tiny", os.urandom(400_000)):
        body = {"resourceType": "Binary", "contentType": "application/pdf"}
        body["data"] = base64.b64encode(content).decode()

        assert client.binary(json.dumps(body), FHIR).status == 201

        assert sandbox.events()[-1]["sha256"] == sha256(content)
        assert sandbox.file(sha256(content)) == content


def test_a_form_gives_a_uri_as_recorded(sandbox, client):
    content = os.urandom(70_000)

    answer = client.upload(client.form(content))

    assert answer.status == 201
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    uri = answer.json()["URI"]
    assert list(answer.json()) == ["URI"]
    assert urlsplit(uri).path[1:].isdigit()
    event = sandbox.events()[-1]
    assert (event["kind"], event["api"], event["method"]) == ("blob", "data-model", "upload")
    assert (event["bytes"], event["sha256"], event["reference"]) == (70_000, sha256(content), uri)


def test_the_recorded_form_of_a_ruby_client_is_accepted(client):
    boundary = "-----------RubyMultipartPost-de4dc55b133b9a12875bab1517f16216"
    form = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="file"; filename="text.txt"\r\n'
        "Content-Length: 4\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\n"
        f"\r\ntest\r\n--{boundary}--\r\n"
    ).encode()

    assert client.upload(form, boundary).status == 201


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/pdf", 400),
        (b"{}", FHIR, 400),
        (b"{", FHIR, 400),
        (b"[]", FHIR, 400),
        (b'{"resourceType":"Binary","data":"QQ=="}', FHIR, 400),
        (b'{"resourceType":"Binary","contentType":"a/b"}', FHIR, 400),
        (b'{"resourceType":"Binary","contentType":"a/b","data":7}', FHIR, 400),
        (b'{"resourceType":"Binary","contentType":"a/b","data":""}', FHIR, 400),
        (b'{"resourceType":"Binary","contentType":"a/b","data":"QQ"}', FHIR, 400),
        (b'{"resourceType":"Binary","contentType":"a/b","data":"QQ==\\n"}', FHIR, 400),
        (b'{"resourceType":"Patient","contentType":"a/b","data":"QQ=="}', FHIR, 400),
        (
            b'{"resourceType":"Binary","contentType":"a/b","data":"' + b"QUJD" * 30_000 + b"=" + b'"}',
            FHIR,
            400,
        ),
    ],
)
def test_a_binary_that_is_none_is_refused(client, body, content_type, status):
    answer = client.binary(body, content_type)

    assert answer.status == status
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_a_binary_without_content_type_is_refused(client):
    answer = client.request("POST", "/fhir/R4/redox/Development/Binary", b"x", client.bearer())

    assert answer.status == 415


@pytest.mark.parametrize(
    ("name", "filename", "content"),
    [("other", "a.pdf", b"x"), ("file", None, b"x"), ("file", "a.pdf", b"")],
)
def test_a_form_without_exactly_one_file_is_refused(client, name, filename, content):
    answer = client.upload(client.form(content, name=name, filename=filename))

    assert answer.status == 400
    assert list(answer.json()) == ["errorDetail"]


def test_a_form_with_two_files_is_refused(client):
    form = client.form(b"one").removesuffix(b"--xyzzy--\r\n") + client.form(b"two")

    assert client.upload(form).status == 400


@pytest.mark.parametrize(
    ("form", "boundary"), [(b"", "xyzzy"), (b"--xyzzy--", "xyzzy"), (b"x" * 99_999, "xyzzy"), (b"x", "")]
)
def test_a_form_that_is_none_is_refused(client, form, boundary):
    assert client.upload(form, boundary).status == 400


def test_30_mb_pass_and_one_byte_more_does_not(client):
    limit = 30_000_000
    content = bytes(limit + 1)
    assert client.binary(content[:-1]).status == 201

    assert client.binary(content).status == 413
    assert client.upload(client.form(content[:-1])).status == 201
    answer = client.upload(client.form(content))
    assert (answer.status, list(answer.json())) == (413, ["errorDetail"])


def test_the_limit_of_a_fhir_json_binary_is_that_of_the_decoded_file(client):
    def body(size):
        data = base64.b64encode(bytes(size)).decode()
        return f'{{"resourceType":"Binary","contentType":"a/b","data":"{data}"}}'.encode()

    assert client.binary(body(29_999_000), FHIR).status == 201
    assert client.binary(body(30_000_001), FHIR).status == 413


@pytest.mark.parametrize("sandbox", [("--megabyte", "1048576")], indirect=True)
def test_a_megabyte_can_be_two_to_the_twenty(sandbox, client):
    assert client.binary(bytes(31_457_280)).status == 201
    assert client.binary(bytes(31_457_281)).status == 413


@pytest.mark.parametrize("sandbox", [("--account", "free")], indirect=True)
def test_a_free_account_uploads_only_outside_development(sandbox, client):
    assert client.binary(b"x").status == 403
    assert client.binary(b"x").json()["issue"][0]["code"] == "forbidden"
    assert client.upload(client.form(b"x")).status == 403
    assert client.binary(b"x", flag="Staging").status == 201
    assert client.create(client.bundle(data="QQ==")).status == 200


@pytest.mark.parametrize("sandbox", [("--sources", "2")], indirect=True)
def test_a_key_with_several_sources_must_name_one(sandbox, client):
    first, second, other = (
        source["id"] for c in sandbox.accounts()["clients"] for source in c["sources"]
    )

    missing = client.binary(b"x")
    assert (missing.status, missing.json()["issue"][0]["code"]) == (400, "required")
    assert client.upload(client.form(b"x")).status == 400
    assert client.binary(b"x", Redox_Source_Id=other).status == 403
    location = client.binary(b"x", Redox_Source_Id=first).headers["Location"]
    bundle = client.bundle(url=location)
    assert client.create(bundle, Redox_Source_Id=first).status == 200
    assert client.create(bundle, Redox_Source_Id=second).status == 400


def test_a_refused_file_cannot_be_fetched_as_if_it_were_committed(sandbox, client):
    sandbox.fault(on="blob", do="status", status=500)
    assert client.binary(b"refused").status == 500
    assert client.create(client.bundle(data="QUJD", size=3, contentType="x")).status == 400
    two = client.bundle(data="QUJD")
    two["entry"][1]["resource"]["content"] *= 2
    two["entry"][1]["resource"]["content"][1] = {
        "attachment": {"contentType": "a/b", "url": "http://x/y"}
    }
    assert client.create(two).status == 400

    for content in (b"refused", b"ABC"):
        with pytest.raises(SandboxError, match="404"):
            sandbox.file(sha256(content))


def test_equal_files_are_kept_once_and_privately(sandbox, client):
    for _ in range(3):
        client.binary(b"same")
    folder = sandbox.info.profile.parent

    assert len(list((folder / "files").iterdir())) == 1
    for path in [folder, *folder.rglob("*")]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_uploads_cannot_be_read_back_without_the_admin_token(client):
    location = client.binary(b"secret").headers["Location"]
    url = urlsplit(location)

    answer = client.request(
        "GET", url.path, headers=client.bearer(), base=f"{url.scheme}://{url.netloc}"
    )

    assert answer.status in {403, 404}
    assert b"secret" not in answer.body
