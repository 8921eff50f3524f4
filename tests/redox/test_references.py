"""Reference URLs: verbatim when safe, refused otherwise, opened and shown never."""

from __future__ import annotations

import contextlib
import re
from urllib.parse import urlsplit

import pytest
from hypothesis import given, strategies as st

from chartsend.errors import ProtocolError, UnsafeLocationError, Verdict
from chartsend.redox.references import MAX_URL_CHARS, check_reference, resolve_reference
from chartsend.settings import Settings

ASKED = "https://api.redoxengine.com/fhir/R4/redox/Staging/Binary"
LOCAL = "http://127.0.0.1:8001/fhir/R4/redox/Development/Binary"
HOSTS = frozenset({"api.redoxengine.com", "blob.redoxengine.com"})
LOCAL_HOSTS = frozenset({"127.0.0.1:8001", "127.0.0.1:8002", "[::1]:8003", "localhost"})

GOOD = [
    "https://blob.redoxengine.com/14652614",
    "https://blob.redoxengine.com/blob/7d0a5a9e-4f0e-4f1e-8b6c-0a9c5a1f2d33",
    "https://blob.redoxengine.com/upload/7d0a?sig=a%2Fb%3D&se=2026-07-02T14%3A05Z",
    "https://api.redoxengine.com/fhir/R4/redox/Staging/Binary/1/_history/MTcx",
    "https://BLOB.RedoxEngine.COM/14652614",
    "HTTPS://blob.redoxengine.com/1",
    "https://blob.redoxengine.com:443/1",
    "https://blob.redoxengine.com",
    "https://blob.redoxengine.com/a(b)'c;d=e,f!g*h~i/$v:1",
    "https://blob.redoxengine.com/a..b/...",
    "https://blob.redoxengine.com/" + "a" * (MAX_URL_CHARS - 29),
]

BAD = [
    # no URL at all, or another scheme
    "",
    " ",
    "blob",
    "14652614",
    "http://blob.redoxengine.com/1",
    "file:///etc/passwd",
    "file://blob.redoxengine.com/1",
    "ftp://blob.redoxengine.com/1",
    "gopher://blob.redoxengine.com/1",
    "javascript:alert(1)",
    "javascript://blob.redoxengine.com/%0aalert(1)",
    "data:text/html;base64,AAAA",
    "ws://blob.redoxengine.com/1",
    "https",
    "https:",
    "https:/blob.redoxengine.com/1",
    "https:blob.redoxengine.com/1",
    "https://",
    "https:///1",
    "://blob.redoxengine.com/1",
    "//blob.redoxengine.com/1",
    # another host
    "https://evil.example/1",
    "https://evil.example/https://blob.redoxengine.com/1",
    "https://169.254.169.254/latest/meta-data",
    "https://127.0.0.1/1",
    "https://localhost/1",
    "https://[::1]/1",
    "https://[::ffff:169.254.169.254]/1",
    "https://2852039166/1",
    "https://0x7f.1/1",
    "https://redoxengine.com/1",
    "https://evil.redoxengine.com/1",
    "https://blob.redoxengine.com.evil.example/1",
    "https://evilblob.redoxengine.com/1",
    "https://blob-redoxengine.com/1",
    "https://blob.redoxengine.co/1",
    "https://blob.redoxengine.com./1",
    "https://.blob.redoxengine.com/1",
    "https://blob..redoxengine.com/1",
    "https://blob_redoxengine.com/1",
    "https://blob.redox%65ngine.com/1",
    "https://blob.redoxengine.com%2f@evil.example/1",
    "https://blob.redoxengine.com%00.evil.example/1",
    "https://blob.redoxengine.com%2eevil.example/1",
    # letters that look alike
    "https://blob.r\u0435doxengine.com/1",
    "https://blob.redoxengine.c\u043em/1",
    "https://blob\u3002redoxengine.com/1",
    "https://\uff42lob.redoxengine.com/1",
    "https://blob.redoxengine.com\uff0fevil.example/1",
    "https://xn--blob-redoxengine-xyz.com/1",
    # another port, or none that is a port
    "https://blob.redoxengine.com:8443/1",
    "https://blob.redoxengine.com:80/1",
    "https://blob.redoxengine.com:0/1",
    "https://blob.redoxengine.com:/1",
    "https://blob.redoxengine.com:443443/1",
    "https://blob.redoxengine.com:443x/1",
    "https://blob.redoxengine.com:-443/1",
    "https://blob.redoxengine.com:443:443/1",
    # somebody else inside the authority
    "https://user@blob.redoxengine.com/1",
    "https://user:secret@blob.redoxengine.com/1",
    "https://@blob.redoxengine.com/1",
    "https://blob.redoxengine.com@evil.example/1",
    "https://evil.example#@blob.redoxengine.com/1",
    "https://evil.example?@blob.redoxengine.com/1",
    "https://evil.example\\@blob.redoxengine.com/1",
    "https://blob.redoxengine.com\\.evil.example/1",
    "https:\\\\blob.redoxengine.com\\1",
    # fragments
    "https://blob.redoxengine.com/1#",
    "https://blob.redoxengine.com/1#part",
    # characters that no URL has
    "https://blob.redoxengine.com/1\r\nX-Evil: 1",
    "https://blob.redoxengine.com/1\n",
    "https://blob.redoxengine.com/\t1",
    "ht\ntps://blob.redoxengine.com/1",
    "https://blob.redox\tengine.com/1",
    "https://blob.redoxengine.com/\x00",
    "https://blob.redoxengine.com/\x7f",
    "https://blob.redoxengine.com/\x85",
    "https://blob.redoxengine.com/\u2028",
    "https://blob.redoxengine.com/\ud800",
    " https://blob.redoxengine.com/1",
    "https://blob.redoxengine.com/1 ",
    "https://blob.redoxengine.com/a b",
    'https://blob.redoxengine.com/"1"',
    "https://blob.redoxengine.com/<1>",
    "https://blob.redoxengine.com/{id}",
    "https://blob.redoxengine.com/a|b",
    "https://blob.redoxengine.com/a^b`c",
    "https://blob.redoxengine.com/\\..\\1",
    "https://blob.redoxengine.com/Prüfung",
    # tricks with percent and dots
    "https://blob.redoxengine.com/%",
    "https://blob.redoxengine.com/%2",
    "https://blob.redoxengine.com/%zz",
    "https://blob.redoxengine.com/%u002f",
    "https://blob.redoxengine.com/%00",
    "https://blob.redoxengine.com/%0d%0aX-Evil:1",
    "https://blob.redoxengine.com/%0A",
    "https://blob.redoxengine.com/%1b[31m",
    "https://blob.redoxengine.com/%7f",
    "https://blob.redoxengine.com/%5c..%5c1",
    "https://blob.redoxengine.com/..",
    "https://blob.redoxengine.com/../endpoint",
    "https://blob.redoxengine.com/a/../../endpoint",
    "https://blob.redoxengine.com/./1",
    "https://blob.redoxengine.com/%2e%2e/endpoint",
    "https://blob.redoxengine.com/.%2E/endpoint",
    "https://blob.redoxengine.com/a%2f..%2fb",
    "https://blob.redoxengine.com/a%2F%2e%2e",
    # brackets
    "https://[blob.redoxengine.com]/1",
    "https://[/1",
    "https://]blob.redoxengine.com/1",
    # length
    "https://blob.redoxengine.com/" + "a" * (MAX_URL_CHARS - 28),
    "https://blob.redoxengine.com/" + "a" * 20_000,
]


def test_the_corpus_is_as_large_as_the_checklist_asks():
    assert len(set(BAD)) == len(BAD) >= 60
    assert MAX_URL_CHARS == 2048


@pytest.mark.parametrize("url", GOOD, ids=range(len(GOOD)))
def test_a_safe_reference_is_given_back_verbatim(url):
    assert check_reference(url, request_url=ASKED, allowed_hosts=HOSTS) == url
    assert resolve_reference(url, request_url=ASKED, allowed_hosts=HOSTS) == url


@pytest.mark.parametrize("url", BAD, ids=range(len(BAD)))
def test_an_unsafe_reference_is_refused_and_not_shown(url):
    with pytest.raises(UnsafeLocationError) as caught:
        check_reference(url, request_url=ASKED, allowed_hosts=HOSTS)

    assert caught.value.verdict is Verdict.GIVE_UP
    assert "evil" not in caught.value.message.lower()
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("http://127.0.0.1:8001/upload/1", True),
        ("http://127.0.0.1:8002/1", True),
        ("http://[::1]:8003/1", True),
        ("http://localhost/1", True),
        ("http://localhost:80/1", True),
        ("https://localhost:443/1", True),
        ("http://127.0.0.1:8003/1", False),
        ("http://127.0.0.1/1", False),
        ("http://localhost:8001/1", False),
        ("http://127.0.0.2:8001/1", False),
        ("http://[::1]/1", False),
        ("http://[::1]:8003evil/1", False),
        ("http://evil.example/1", False),
    ],
)
def test_plain_http_is_for_an_api_on_this_machine(url, safe):
    if safe:
        assert check_reference(url, request_url=LOCAL, allowed_hosts=LOCAL_HOSTS) == url
    else:
        with pytest.raises(UnsafeLocationError):
            check_reference(url, request_url=LOCAL, allowed_hosts=LOCAL_HOSTS)
    if url.startswith("http:"):
        with pytest.raises(UnsafeLocationError):
            check_reference(url, request_url=ASKED, allowed_hosts=LOCAL_HOSTS)


def test_plain_http_to_another_machine_is_refused_even_when_it_is_allowed():
    with pytest.raises(UnsafeLocationError, match="not https"):
        check_reference("http://blob.redoxengine.com/1", request_url=LOCAL, allowed_hosts=HOSTS)


@pytest.mark.parametrize(
    "entry", ["", "https://blob.redoxengine.com", "a b", "*", "blob.redoxengine.com/"]
)
def test_an_entry_that_is_no_host_allows_nothing(entry):
    with pytest.raises(UnsafeLocationError, match="allowed_reference_hosts"):
        check_reference("https://other.example/1", request_url=ASKED, allowed_hosts=frozenset({entry}))


def test_the_hosts_of_the_default_settings_are_redox_own():
    hosts = Settings().reference_hosts

    assert check_reference(GOOD[0], request_url=ASKED, allowed_hosts=hosts) == GOOD[0]
    with pytest.raises(UnsafeLocationError):
        check_reference("https://evil.example/1", request_url=ASKED, allowed_hosts=hosts)


@pytest.mark.parametrize(
    ("text", "absolute"),
    [
        (
            "/fhir/R4/redox/Staging/Binary/1",
            "https://api.redoxengine.com/fhir/R4/redox/Staging/Binary/1",
        ),
        ("Binary/1", "https://api.redoxengine.com/fhir/R4/redox/Staging/Binary/1"),
        ("//blob.redoxengine.com/1", "https://blob.redoxengine.com/1"),
        ("/x?y=1", "https://api.redoxengine.com/x?y=1"),
    ],
)
def test_a_relative_reference_is_resolved_against_the_request(text, absolute):
    assert resolve_reference(text, request_url=ASKED, allowed_hosts=HOSTS) == absolute


@pytest.mark.parametrize(
    "text",
    [
        "//evil.example/1",
        "/\\evil.example/1",
        "/../endpoint",
        "../1",
        "/a#b",
        "/%0d%0a",
        "/a b",
        "///evil/1",
    ],
)
def test_a_relative_reference_is_checked_like_any(text):
    with pytest.raises(UnsafeLocationError):
        resolve_reference(text, request_url=ASKED, allowed_hosts=HOSTS)


@pytest.mark.parametrize("text", ["14652614", "7d0a5a9e-4f0e-4f1e-8b6c-0a9c5a1f2d33", "?id=1"])
def test_a_bare_id_is_no_url(text):
    with pytest.raises(ProtocolError, match="an id and no reference URL") as caught:
        resolve_reference(text, request_url=ASKED, allowed_hosts=HOSTS)

    assert caught.value.verdict is Verdict.RETRY


@given(st.text(max_size=60) | st.sampled_from(BAD + GOOD))
def test_whatever_is_accepted_leads_to_an_allowed_host_by_https(text):
    try:
        url = resolve_reference(text, request_url=ASKED, allowed_hosts=HOSTS)
    except (UnsafeLocationError, ProtocolError):
        return
    parts = urlsplit(url)
    assert parts.scheme == "https"
    assert parts.hostname in HOSTS
    assert parts.port in {None, 443}
    assert parts.username is None
    assert not parts.fragment
    assert url.isascii()
    assert url.isprintable()


@given(st.lists(st.sampled_from(["/", ".", "%2e", "%2E", "%2f", "%2F", "a", "%20"]), max_size=9))
def test_dot_segments_are_found_wherever_they_stand(pieces):
    path = "".join(["/", *pieces])
    segments = re.split(r"/|%2[Ff]", path)
    has_dots = any(re.fullmatch(r"(?:\.|%2[Ee]){1,2}", segment) for segment in segments)

    expectation = (
        pytest.raises(UnsafeLocationError, match="dot segments")
        if has_dots
        else contextlib.nullcontext()
    )
    with expectation:
        check_reference(f"https://blob.redoxengine.com{path}", request_url=ASKED, allowed_hosts=HOSTS)
