"""Routes of text: what goes into Notes as text, and what stays base64."""

from __future__ import annotations

import pytest

from chartsend.errors import ConfigError
from chartsend.redox.route import Wish, choose, text_kind
from chartsend.settings import Destination, Settings

HERE = Destination(name="memorial", slug="memorial", id="dest-1")


def settings(**fields):
    return Settings(**{"environment": "Staging", **fields})


def chosen(size, wish, *, to=HERE, given=None, kind="application/pdf"):
    return choose(
        wish,
        size_bytes=size,
        content_type=kind,
        overhead_bytes=2_000,
        destination=to,
        settings=given or settings(),
    )


NOTES = Wish(api="data-model", note_text=True)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("text/plain", "Plain Text"),
        ("text/plain; charset=utf-8", "Plain Text"),
        ('text/plain; charset="US-ASCII"', "Plain Text"),
        ("text/plain; charset=iso-8859-1", None),
        ("application/rtf", "Rich Text"),
        ("text/rtf", "Rich Text"),
        ("text/html", None),
        ("application/pdf", None),
    ],
)
def test_text_files_go_into_notes_as_text_and_others_stay_base64_with_a_warning(kind, text):
    route = chosen(100, NOTES, kind=kind)

    assert route.text == text
    assert route.method == "embed"
    assert bool(route.warnings) == (text is None)


@pytest.mark.parametrize(
    "wish",
    [
        Wish(note_text=True),
        Wish(api="data-model", model="media", note_text=True),
        Wish(api="data-model", model="results", note_text=True),
    ],
)
def test_text_concerns_notes_only(wish):
    route = chosen(100, wish, kind="text/plain")

    assert route.text is None
    assert not route.warnings


def test_the_wish_has_the_last_word_about_text():
    """A caller's False stands, whatever the destination and the settings default to."""
    to = Destination(name="m", id="m", note_text=True)
    given = settings(note_text=True)

    assert chosen(100, Wish(api="data-model"), to=to, given=given, kind="text/plain").text is None
    assert text_kind(NOTES, "text/plain") == "Plain Text"


def test_text_and_a_forced_upload_contradict_each_other():
    wish = Wish(api="data-model", method="upload", note_text=True)

    with pytest.raises(ConfigError, match="cannot be uploaded"):
        chosen(100, wish, kind="text/plain")
    assert chosen(100, wish, kind="application/pdf").method == "upload"


def test_long_text_is_still_embedded_as_text_with_a_warning():
    route = chosen(200_001, NOTES, kind="text/plain")

    assert (route.method, route.text) == ("embed", "Plain Text")
    assert any("200,001" in warning for warning in route.warnings)


def test_text_that_cannot_fit_a_request_goes_by_reference_with_a_warning():
    to = Destination(name="m", id="m", request_limit_bytes=100_000)

    route = chosen(150_000, NOTES, to=to, kind="text/plain")

    assert (route.method, route.text) == ("upload", None)
    assert any("by reference" in warning for warning in route.warnings)
