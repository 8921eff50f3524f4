"""The log page shows people what was received, and shows it to nobody else."""

from __future__ import annotations

import html
import os
import re

import pytest


def page(client, path="", **headers):
    bearer = {"Authorization": f"Bearer {client.sandbox.info.admin_token}"}
    return client.request("GET", f"/_sandbox/log{path}", headers=bearer | headers)


def log_ids(text):
    return re.findall(r'href="/_sandbox/log/([0-9a-f-]{36})"', text)


def test_the_page_lists_messages_newest_first_with_one_log_per_destination(sandbox, client):
    client.create(client.bundle("first", data="QUJD"))
    both = [d["id"] for d in sandbox.accounts()["destinations"][:2]]
    logs = client.endpoint(client.note("QUJD", destinations=both)).json()["Meta"]["Logs"]

    text = page(client).body.decode()

    first = sandbox.events()[1]["log_id"]
    assert log_ids(text) == [logs[0]["ID"], logs[1]["ID"], first]
    for word in ("SUCCEEDED", "notes", "New", "document-reference", "Memorial Hospital EHR"):
        assert word in text


def test_an_uploaded_file_can_be_downloaded_from_its_message(sandbox, client):
    content = os.urandom(5000)
    uri = client.upload(client.form(content, filename='../"we<i>rd".pdf')).json()["URI"]
    log_id = client.endpoint(client.note(uri)).json()["Meta"]["Logs"][0]["ID"]

    text = page(client, f"/{log_id}").body.decode()

    assert "Process" in text
    link = re.search(r'href="(/_sandbox/log/uploads/[^"]+)">Download', text)[1]
    answer = page(client, link.removeprefix("/_sandbox/log"))
    assert answer.body == content
    assert answer.headers["Content-Type"] == "application/octet-stream"
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename*=UTF-8''")
    assert not set('"<>/\\') & set(disposition.removeprefix("attachment; filename*=UTF-8''"))


@pytest.mark.parametrize("size", [300, 200_000])
def test_an_embedded_file_is_shown_shortened_in_the_payload_and_not_offered(sandbox, client, size):
    client.endpoint(client.note("QUJD" * size))

    text = page(client, f"/{sandbox.events()[-1]['log_id']}").body.decode()

    assert "Download" not in text
    assert "QUJDQUJDQUJD" in text
    assert len(text) < 10_000
    assert f"{size * 3:,} bytes" in text


def test_uploads_that_no_message_refers_to_are_shown(sandbox, client):
    used = client.binary(b"used").headers["Location"].rpartition("/")[2]
    client.create(client.bundle(url=f"{sandbox.info.blob_url}/upload/{used}"))
    unused = client.binary(b"unused").headers["Location"].rpartition("/")[2]

    text = page(client).body.decode()

    assert unused in text
    assert used not in text


def test_nothing_from_a_message_becomes_html(sandbox, client):
    evil = "<script>alert(1)</script>&\"'"
    bundle = client.bundle(evil, data="QUJD", title=evil, contentType=evil.replace("/", "") + "/x")
    assert client.create(bundle).status == 200
    client.binary(b"x", "text/x-<script>")

    pages = page(client).body.decode() + page(client, f"/{sandbox.events()[1]['log_id']}").body.decode()

    assert "<script" not in pages
    assert html.escape("<script>alert(1)</script>") in pages


def test_the_page_is_locked_down(client):
    for path in ("", "/style.css", "/nothing"):
        headers = page(client, path).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; frame-ancestors 'none'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
    body = page(client).body.decode()
    assert "<script" not in body
    assert not re.search(r'(?:src|href)="(?!/_sandbox/|\?)', body)


def test_the_token_in_the_address_becomes_a_cookie_of_this_sandbox(client):
    token = client.sandbox.info.admin_token

    answer = client.request("GET", f"/_sandbox/log?token={token}")

    assert (answer.status, answer.headers["Location"]) == (303, "/_sandbox/log")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    pair = cookie.partition(";")[0]
    assert client.request("GET", "/_sandbox/log", headers={"Cookie": pair}).status == 200
    assert client.request("GET", "/_sandbox/events", headers={"Cookie": pair}).status == 403


def test_nobody_else_sees_the_page(client):
    assert client.request("GET", "/_sandbox/log").status == 403
    assert client.request("GET", "/_sandbox/log?token=wrong").status == 403
    assert client.request("GET", "/_sandbox/log", headers={"Cookie": "x=y; =;;"}).status == 403


def test_long_lists_have_pages(sandbox, client):
    for number in range(105):
        client.create(client.bundle(f"d-{number}", data="QQ=="))

    first = page(client).body.decode()
    second = page(client, re.search(r'href="(\?before=\d+)"', first)[1]).body.decode()

    assert (len(log_ids(first)), len(log_ids(second))) == (100, 5)
    assert not set(log_ids(first)) & set(log_ids(second))


@pytest.mark.parametrize("path", ["/x", "/x/y", "/uploads/x", "/../x"])
def test_unknown_logs_are_not_found(client, path):
    assert page(client, path).status == 404
