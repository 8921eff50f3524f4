"""Answers made of anything: no body and no header raises what is not declared."""

from __future__ import annotations

from urllib.parse import urlsplit

import orjson
from hypothesis import given, strategies as st

from chartsend.errors import (
    ApplicationError,
    OutcomeUnknownError,
    ProtocolError,
    UnsafeLocationError,
)
from chartsend.ports import Reply
from chartsend.redox.replies import explain, read_message, read_upload

HOSTS = frozenset({"api.redoxengine.com", "blob.redoxengine.com"})
BINARY = "https://api.redoxengine.com/fhir/R4/redox/Staging/Binary"
URL = "https://blob.redoxengine.com/14652614"
# One level of nesting less than orjson takes, and far more than Python's stack does.
DEEP = b'{"Meta":{},"a":' + b"[" * 1000 + b"]" * 1000 + b"}"
TOO_DEEP = b"[" * 100_000


def reference(answer, api):
    return read_upload(answer, api=api, request_url=BINARY, allowed_hosts=HOSTS)


# Any JSON, with a liking for the words that the readers look for.
KEYS = st.sampled_from(
    ["Meta", "Errors", "Logs", "ID", "issue", "severity", "code", "expression", "entry", "response",
     "status", "location", "URI", "url", "id", "error", "error_description", "Text", "Type", "Module",
     "Message", "resourceType"]
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["error", "fatal", "required", "422", "Bundle.entry[1]", URL, "7d0a"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)
BODIES = (
    st.binary(max_size=200)
    | JSON.map(orjson.dumps)
    | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.sampled_from(
        [DEEP, TOO_DEEP, b"1" * 100_000, b'{"Meta":{"Message":{"ID":' + b"9" * 5000 + b"}}}",
         b'{"Meta":{"Errors":[{"ID":' + b"9" * 5000 + b"}]}}", b"1e999999", b"[" * 5000 + b"]" * 5000]
    )
)  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "location", "redox-trace-id"]),
    st.text(max_size=40) | st.sampled_from(["application/json", "text/html", URL]),
)


@given(body=BODIES, headers=HEADERS, api=st.sampled_from(["fhir", "data-model"]))
def test_no_answer_raises_anything_undeclared(body, headers, api):
    answer = Reply(200, headers, body)

    told: list[str] = [explain(answer)]
    try:
        accepted = read_message(answer, api=api)
        told += [*accepted.log_ids, accepted.trace_id or "", accepted.resource_url or ""]
    except (ApplicationError, OutcomeUnknownError) as exc:
        told.append(exc.message)
    try:
        assert urlsplit(reference(answer, api)).hostname in HOSTS
    except (ProtocolError, UnsafeLocationError) as exc:
        told.append(exc.message)

    assert all(text.isascii() and text.isprintable() for text in told)
