"""What complete success answers mean."""

from __future__ import annotations

import json

import pytest

from chartsend.errors import (
    ApplicationError,
    OutcomeUnknownError,
    Phase,
    ProtocolError,
    UnsafeLocationError,
    Verdict,
)
from chartsend.ports import Reply
from chartsend.redox.replies import Accepted, read_message, read_upload

HOSTS = frozenset({"api.redoxengine.com", "blob.redoxengine.com"})
BINARY = "https://api.redoxengine.com/fhir/R4/redox/Staging/Binary"
UPLOAD = "https://blob.redoxengine.com/upload"
URL = "https://blob.redoxengine.com/14652614"
OTHER = "https://blob.redoxengine.com/other"

# One level of nesting less than orjson takes, and far more than Python's stack does.
DEEP = b'{"Meta":{},"a":' + b"[" * 1000 + b"]" * 1000 + b"}"
TOO_DEEP = b"[" * 100_000


def reply(body=b"", status=200, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, raw)


def reference(answer, api="fhir"):
    asked = BINARY if api == "fhir" else UPLOAD
    return read_upload(answer, api=api, request_url=asked, allowed_hosts=HOSTS)


class TestUploads:
    @pytest.mark.parametrize("status", [200, 201, 202, 204])
    def test_fhir_names_the_reference_in_a_header(self, status):
        assert reference(reply(status=status, location=URL)) == URL

    def test_the_data_model_names_it_in_the_body(self):
        assert reference(reply({"URI": URL}, 201), "data-model") == URL

    def test_each_api_looks_first_where_it_is_documented(self):
        both = reply({"URI": URL}, 201, location=OTHER)

        assert reference(both, "fhir") == OTHER
        assert reference(both, "data-model") == URL

    @pytest.mark.parametrize("key", ["URI", "url"])
    def test_fhir_falls_back_to_the_body(self, key):
        assert reference(reply({key: URL, "id": "1"}, 201)) == URL

    def test_the_data_model_falls_back_to_the_header(self):
        assert reference(reply(status=201, location=URL), "data-model") == URL

    def test_history_in_a_reference_stays(self):
        url = f"{BINARY}/7d0a/_history/1"

        assert reference(reply(status=201, location=url)) == url

    def test_a_relative_header_is_resolved(self):
        answer = reply(status=201, location="/fhir/R4/redox/Staging/Binary/7d0a")

        assert reference(answer) == f"{BINARY}/7d0a"

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{}",
            b"null",
            b"[]",
            b"not json",
            b"\xff\xfe",
            TOO_DEEP,
            b'{"URI": 14652614}',
            b'{"URI": null, "url": ["https://blob.redoxengine.com/1"]}',
            b'{"resourceType": "Binary"}',
            DEEP,
        ],
    )
    @pytest.mark.parametrize("api", ["fhir", "data-model"])
    def test_no_reference_may_be_asked_for_again(self, api, body):
        with pytest.raises(ProtocolError, match="no reference URL") as caught:
            reference(reply(body, 201), api)

        assert caught.value.verdict is Verdict.RETRY
        assert caught.value.phase is Phase.ANSWERED
        assert caught.value.status == 201

    @pytest.mark.parametrize(
        ("answer", "api"),
        [
            (reply({"id": "7d0a5a9e"}, 201), "fhir"),
            (reply({"resourceType": "Binary", "id": "7d0a"}, 201), "fhir"),
            (reply({"id": 14652614}, 201), "data-model"),
            (reply({"URI": "14652614"}, 201), "data-model"),
            (reply(status=201, location="7d0a5a9e"), "fhir"),
        ],
    )
    def test_a_bare_id_is_said_to_be_one(self, answer, api):
        with pytest.raises(ProtocolError, match="gives an id and no reference URL") as caught:
            reference(answer, api)

        assert caught.value.verdict is Verdict.RETRY
        assert caught.value.status == 201

    @pytest.mark.parametrize(
        "location",
        [
            "",
            "https://evil.example/1",
            "http://blob.redoxengine.com/1",
            "https://user@blob.redoxengine.com/1",
            f"{URL}#part",
            "https://blob.redoxengine.com/" + "a" * 20_000,
        ],
    )
    def test_an_unsafe_reference_ends_the_send(self, location):
        with pytest.raises(UnsafeLocationError):
            reference(reply({"URI": URL}, 201, location=location))


FHIR_DONE = {
    "resourceType": "Bundle",
    "type": "transaction-response",
    "entry": [
        {
            "response": {
                "status": "201 Created",
                "location": "https://fhir.redoxengine.com/fhir-sandbox/DocumentReference/2f2b/_history/M",
            }
        }
    ],
}
MODEL_DONE = {
    "Meta": {
        "DataModel": "Notes",
        "EventType": "New",
        "Source": {"ID": "3f1c", "Name": "Harbor Forms (dev)"},
        "Destinations": [{"ID": "af39", "Name": "Redox EMR"}],
        "Logs": [{"ID": "d9f5d293-7110", "AttemptID": "925d"}, {"ID": "77aa"}],
    }
}
OUTCOME = {
    "resourceType": "OperationOutcome",
    "issue": [
        {
            "severity": "error",
            "code": "required",
            "diagnostics": "Marla Quillfeather",
            "expression": ["Bundle.entry[1].resource.content[0].attachment.contentType"],
        }
    ],
}


class TestMessages:
    def test_a_fhir_bundle_names_the_resource_made(self):
        accepted = read_message(reply(FHIR_DONE, redox_trace_id="5f6d0c"), api="fhir")

        assert accepted == Accepted((), "5f6d0c", FHIR_DONE["entry"][0]["response"]["location"])

    def test_of_several_entries_the_document_is_named(self):
        body = {
            "entry": [
                {"response": {"location": "Patient/1"}},
                {"response": {"location": "DocumentReference/2"}},
            ]
        }

        assert read_message(reply(body), api="fhir").resource_url == "DocumentReference/2"

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"", None),
            (b"", "application/fhir+json"),
            (b" \r\n", "application/json"),
            (b"OK", "text/plain"),
            (b"Accepted", None),
            (b"{}", "application/fhir+json"),
            (b'{"resourceType":"Bundle","type":"message"}', "application/fhir+json"),
            (b"[]", "application/json"),
            (b"null", "application/json"),
            (b'"ok"', "application/json"),
            (b"<Bundle/>", "application/fhir+xml"),
            (b"\xff\xfe\x00", "application/octet-stream"),
        ],
    )
    @pytest.mark.parametrize("status", [200, 201, 202, 204])
    def test_fhir_may_say_nothing(self, body, kind, status):
        headers = {} if kind is None else {"content_type": kind}

        assert read_message(reply(body, status, **headers), api="fhir") == Accepted((), None, None)

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"<html>Blocked</html>", "text/html"),
            (b"", "text/html; charset=utf-8"),
            (b"{}", "TEXT/HTML"),
            (b"\n<!DOCTYPE HTML><html>", "text/plain"),
            (b"<html>", None),
            (b"{", "application/fhir+json"),
            (b"OK", "application/json"),
            (b'{"resourceType":', None),
            (b"\xff\xfe", "application/json; charset=utf-8"),
            (TOO_DEEP, "application/json"),
            (b"<OperationOutcome><issue><severity value='error'/>", "application/fhir+xml"),
        ],
    )
    def test_fhir_that_cannot_be_read_leaves_the_outcome_unknown(self, body, kind):
        headers = {} if kind is None else {"content_type": kind}

        with pytest.raises(OutcomeUnknownError) as caught:
            read_message(reply(body, **headers), api="fhir")

        assert caught.value.verdict is Verdict.IN_DOUBT
        assert caught.value.phase is Phase.ANSWERED
        assert caught.value.status == 200
        assert "before sending it again" in caught.value.message

    def test_a_data_model_answer_names_its_logs(self):
        accepted = read_message(reply(MODEL_DONE, redox_trace_id="t-1"), api="data-model")

        assert accepted == Accepted(("d9f5d293-7110", "77aa"), "t-1", None)

    @pytest.mark.parametrize(
        ("meta", "log_ids"),
        [
            ({"Message": {"ID": 4536334747}}, ("4536334747",)),
            ({"Message": {"ID": "4536334747"}}, ("4536334747",)),
            ({"Message": {"ID": 1}, "Logs": [{"ID": "a"}]}, ("a",)),
            ({"Message": {"ID": 1}, "Logs": []}, ("1",)),
            ({"Message": {"ID": True}}, ()),
            ({"Message": {"ID": 1.5}}, ()),
            ({"Logs": [{"ID": "a b"}, {"ID": "c\u001b[31m"}, {"ID": None}, "d", {"ID": "e"}]}, ("e",)),
            ({"Logs": "a"}, ()),
            ({"Logs": [{"ID": str(n)} for n in range(1000)]}, tuple(str(n) for n in range(64))),
            ({"Logs": [{"ID": "a" * 129}]}, ()),
            ({}, ()),
        ],
    )
    def test_log_ids_are_plain_and_few(self, meta, log_ids):
        assert read_message(reply({"Meta": meta}), api="data-model").log_ids == log_ids

    @pytest.mark.parametrize("empty", [{}, [], None])
    def test_an_empty_list_of_errors_is_no_error(self, empty):
        answer = reply({"Meta": {"Errors": empty}})

        assert read_message(answer, api="data-model") == Accepted((), None, None)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"OK",
            b"{}",
            b"[]",
            b"null",
            b"{",
            b'{"Meta": null}',
            b'{"Meta": []}',
            b'{"Meta": "accepted"}',
            b'{"meta": {}}',
            b"<html></html>",
            b"\xff",
            TOO_DEEP,
        ],
    )
    def test_a_data_model_answer_without_meta_leaves_the_outcome_unknown(self, body):
        with pytest.raises(OutcomeUnknownError) as caught:
            read_message(reply(body, content_type="application/json"), api="data-model")

        assert caught.value.verdict is Verdict.IN_DOUBT

    def test_a_web_page_around_good_json_is_still_a_web_page(self):
        with pytest.raises(OutcomeUnknownError):
            read_message(reply(MODEL_DONE, content_type="text/html"), api="data-model")

    @pytest.mark.parametrize("api", ["fhir", "data-model"])
    @pytest.mark.parametrize(
        "body",
        [
            {"Meta": {"Errors": [{"ID": 1, "Text": "x", "Type": "message"}]}},
            {"Meta": {"Errors": "something"}},
            OUTCOME,
            {"Meta": {}, "x": OUTCOME},
            {"resourceType": "Bundle", "entry": [{"resource": {}}, {"resource": OUTCOME}]},
            {"entry": [{"response": {"status": "200", "outcome": OUTCOME}}]},
            {"resourceType": "Bundle", "issue": [{"severity": "fatal"}]},
            {"issue": [{"severity": "warning"}, {"severity": "ERROR"}]},
            {"entry": [{"response": {"status": "201"}}, {"response": {"status": "422 Unprocessable"}}]},
            {"entry": [{"response": {"status": "500"}}]},
        ],
    )
    def test_a_success_status_with_errors_in_it_is_no_success(self, api, body):
        with pytest.raises(ApplicationError) as caught:
            read_message(reply(body), api=api)

        assert caught.value.verdict is Verdict.GIVE_UP
        assert caught.value.status == 200
        assert "uillfeather" not in caught.value.message

    @pytest.mark.parametrize("name", ["issue", "Errors", "errors", "error"])
    def test_an_error_is_found_under_a_name_that_is_written_with_escapes(self, name):
        issues = [{"severity": "fatal"}]
        body = {"Meta": {}, name: issues}
        for at, letter in enumerate(name):
            escaped = f"{name[:at]}\\u{ord(letter):04x}{name[at + 1 :]}"
            hidden = json.dumps(body).replace(name, escaped).encode()
            assert name.encode() not in hidden

            with pytest.raises(ApplicationError):
                read_message(reply(hidden), api="data-model")

    @pytest.mark.parametrize(
        "issue",
        [
            [{"severity": "warning"}],
            [{"severity": "information"}],
            [{"severity": "success"}],
            [{"severity": 1}],
            ["error"],
            "error",
        ],
    )
    def test_lesser_issues_and_other_shapes_are_no_errors(self, issue):
        body = {"resourceType": "OperationOutcome", "issue": issue}

        assert read_message(reply(body), api="fhir") == Accepted((), None, None)

    def test_an_error_is_found_however_deep_it_lies(self):
        nested = b'{"a":' * 900 + json.dumps(OUTCOME).encode() + b"}" * 900

        with pytest.raises(ApplicationError):
            read_message(reply(nested), api="fhir")

    def test_the_error_says_why_as_far_as_that_is_safe(self):
        with pytest.raises(ApplicationError) as caught:
            read_message(reply(OUTCOME), api="fhir")

        assert caught.value.message == (
            "the answer has status 200 and carries errors:"
            " required at Bundle.entry[1].resource.content[0].attachment.contentType"
        )

    @pytest.mark.parametrize("trace", ["a b", "", "x\x1b[0m", "é", "a" * 129, "-"])
    def test_a_trace_id_that_is_no_id_is_left_out(self, trace):
        assert read_message(reply(redox_trace_id=trace), api="fhir").trace_id is None

    @pytest.mark.parametrize(
        "location", ["https://x/ y", "https://x/\x1b", "é", "a" * 2049, "", 'a"b', 5, None]
    )
    def test_a_resource_url_that_is_no_url_is_left_out(self, location):
        body = {"entry": [{"response": {"status": "201", "location": location}}]}

        assert read_message(reply(body), api="fhir").resource_url is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"errors":[{"message":"x"}]}',
        b'{"Errors":[{"Text":"x"}]}',
        b'{"error":"invalid"}',
        b'{"resourceType":"OperationOutcome","issue":{"severity":"error","code":"invalid"}}',
        b'{"resourceType":"Bundle","entry":[{"response":{"status":400}}]}',
    ],
)
def test_a_success_status_that_says_error_anywhere_is_no_acceptance(body):
    reply = Reply(200, {"content-type": "application/fhir+json"}, body)

    with pytest.raises(ApplicationError):
        read_message(reply, api="fhir")
