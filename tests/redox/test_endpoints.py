"""Addresses and headers."""

from __future__ import annotations

import pytest

from chartsend.errors import ConfigError
from chartsend.redox.endpoints import base_headers, message_url, search_url, upload_url
from chartsend.settings import Auth, Destination, Settings

STAGING = Settings(environment="Staging")
FHIR = "https://api.redoxengine.com/fhir/R4/memorial-ehr/Staging"
HERE = Destination(name="memorial", slug="memorial-ehr", id="af39")


@pytest.mark.parametrize(
    ("settings", "api", "url"),
    [
        (STAGING, "fhir", "https://api.redoxengine.com/fhir/R4/redox/Staging/Binary"),
        (STAGING, "data-model", "https://blob.redoxengine.com/upload"),
        (
            Settings(environment="Production", region="ca"),
            "fhir",
            "https://api.ca.redoxengine.com/fhir/R4/redox/Production/Binary",
        ),
        (
            Settings(
                environment="Development",
                api_url="http://127.0.0.1:8001",
                blob_url="http://127.0.0.1:8002",
            ),
            "data-model",
            "http://127.0.0.1:8002/upload",
        ),
        (
            Settings(environment="Development", api_url="http://127.0.0.1:8001"),
            "fhir",
            "http://127.0.0.1:8001/fhir/R4/redox/Development/Binary",
        ),
    ],
)
def test_where_files_are_uploaded(settings, api, url):
    assert upload_url(settings, api=api) == url


@pytest.mark.parametrize(
    ("api", "model", "url"),
    [
        (
            "fhir",
            "document-reference",
            f"{FHIR}/DocumentReference/$documentreference-create",
        ),
        (
            "fhir",
            "diagnostic-report",
            f"{FHIR}/DiagnosticReport/$diagnosticreport-create",
        ),
        ("data-model", "notes", "https://api.redoxengine.com/endpoint"),
        ("data-model", "media", "https://api.redoxengine.com/endpoint"),
        ("data-model", "results", "https://api.redoxengine.com/endpoint"),
    ],
)
def test_where_messages_are_sent(api, model, url):
    assert message_url(STAGING, api=api, model=model, destination=HERE) == url


def test_where_documents_are_searched():
    assert search_url(STAGING, HERE) == (
        "https://api.redoxengine.com/fhir/R4/memorial-ehr/Staging/DocumentReference/_search"
    )


def test_the_region_without_a_published_upload_host_needs_one_set():
    with pytest.raises(ConfigError, match="blob_url"):
        upload_url(Settings(environment="Staging", region="ca"), api="data-model")


def test_there_is_no_address_without_an_environment():
    with pytest.raises(ConfigError, match="--environment"):
        upload_url(Settings(), api="fhir")
    with pytest.raises(ConfigError, match="--environment"):
        message_url(Settings(), api="data-model", model="notes", destination=HERE)
    with pytest.raises(ConfigError, match="--environment"):
        search_url(Settings(), HERE)


def test_an_address_needs_what_its_api_calls_the_destination_by():
    with pytest.raises(ConfigError, match=r"set id in \[destinations\.m\]"):
        message_url(
            STAGING,
            api="data-model",
            model="notes",
            destination=Destination(name="m", slug="x"),
        )
    with pytest.raises(ConfigError, match="slug in the destination's table"):
        message_url(STAGING, api="fhir", model="document-reference", destination=Destination(id="x"))
    with pytest.raises(ConfigError, match="set id"):
        message_url(STAGING, api="data-model", model="notes", destination=Destination(slug="x"))
    with pytest.raises(ConfigError, match="no model notes"):
        message_url(STAGING, api="fhir", model="notes", destination=HERE)
    with pytest.raises(ConfigError, match="legacy"):
        search_url(Settings(environment="Staging", auth=Auth(kind="legacy")), HERE)


def test_headers_name_the_source_when_there_is_one_and_never_the_token():
    named = Settings(environment="Staging", source_id="3f1c9a52")

    assert base_headers(STAGING, api="fhir") == {"Accept": "application/fhir+json"}
    assert base_headers(named, api="fhir") == {
        "Accept": "application/fhir+json",
        "Redox-Source-Id": "3f1c9a52",
    }
    assert base_headers(named, api="data-model") == {
        "Accept": "application/json",
        "Redox-Source-Id": "3f1c9a52",
    }
