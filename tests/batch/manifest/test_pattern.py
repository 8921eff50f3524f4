"""Patterns: a name means one thing or nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings, strategies as st

from chartsend.batch.manifest.pattern import AmbiguousNameError, Pattern
from chartsend.errors import ConfigError


@pytest.mark.parametrize(
    ("pattern", "path", "said"),
    [
        (
            "{mrn}_{type}_{id}.pdf",
            "0000991234_Consent Form_77.pdf",
            {
                "patient": {"identifiers": [{"id": "0000991234", "type": "MR"}]},
                "type": "Consent Form",
                "document_id": "77",
            },
        ),
        ("{id}.{_}", "deep/in/a folder/77.jpg", {"document_id": "77"}),
        ("{visit}-{order}.pdf", "V 17-LAB.pdf", {"visit": {"number": "V 17"}, "order": {"id": "LAB"}}),
        ("{title}", "a.b.c", {"title": "a.b.c"}),
        ("{patient.last_name}, {patient.first_name}.pdf", "Quillfeather, Marla.pdf",
         {"patient": {"last_name": "Quillfeather", "first_name": "Marla"}}),
        ("{mrn} {patient.birth_date}.pdf", "1 1971-03-09.pdf",
         {"patient": {"identifiers": [{"id": "1", "type": "MR"}], "birth_date": "1971-03-09"}}),
        ("{mrn}-{patient.identifiers.1.id}.pdf", "1-2.pdf",
         {"patient": {"identifiers": [{"id": "1", "type": "MR"}, {"id": "2"}]}}),
        ("{mrn}/{type}/{_}.pdf", "x/1/Scan/99.pdf",
         {"patient": {"identifiers": [{"id": "1", "type": "MR"}]}, "type": "Scan"}),
        ("in/{id}.pdf", "2026/in/7.pdf", {"document_id": "7"}),
        ("{id}.pdf", "a.pdf.pdf", {"document_id": "a.pdf"}),
        ("[{id}](x)*.pdf", "[7](x)*.pdf", {"document_id": "7"}),
        ("{id}", "日本 é", {"document_id": "日本 é"}),
    ],
)  # fmt: skip
def test_a_name_says_what_its_pattern_means(pattern, path, said):
    assert Pattern(pattern).described(path) == said


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{mrn}_{type}.pdf", "0000991234.pdf"),
        ("{mrn}_{type}.pdf", "0000991234_.pdf"),
        ("{mrn}_{type}.pdf", "_Scan.pdf"),
        ("{id}.pdf", "7.PDF"),
        ("{id}.pdf", ".pdf"),
        ("{id}.pdf", "7.pdf.txt"),
        ("x{id}", "7"),
        ("x{id}x", "x"),
        ("xx{id}xx", "xxx"),
        ("{mrn}/{id}.pdf", "7.pdf"),
        ("in/{id}.pdf", "out/7.pdf"),
        ("{id}__{type}.pdf", "1_2.pdf"),
    ],
)
def test_a_name_that_does_not_fit_says_nothing(pattern, path):
    assert Pattern(pattern).described(path) is None


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{mrn}_{type}_{id}.pdf", "1_Consent_Form_77.pdf"),
        ("{type}_{id}.pdf", "Consent_Form_77.pdf"),
        ("{_}_{id}.pdf", "a_b_c.pdf"),
        ("{id}-{type}", "a--b"),
        ("{id}aa{type}", "1aaa2"),
    ],
)
def test_a_name_that_fits_in_two_ways_is_divided_in_none(pattern, path):
    with pytest.raises(AmbiguousNameError):
        Pattern(pattern).described(path)


def test_where_only_what_means_nothing_is_unclear_the_rest_counts():
    assert Pattern("{id}.{_}-{_}").described("7.a-b-c") == {"document_id": "7"}


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "no name on one side"),
        ("a.pdf", "no field"),
        ("{_}.pdf", "no field"),
        ("{mrn}{id}.pdf", "without a text between"),
        ("{mrn}_{mrn}.pdf", "`patient.identifiers.0.id` 2 times"),
        ("{id}_{document_id}.pdf", "`document_id` 2 times"),
        ("{mrn}_{patient.identifiers.0.type}", "`patient.identifiers.0.type` 2 times"),
        ("{mrnn}.pdf", "unknown field {mrnn}"),
        ("{titel}.pdf", "did you mean `title`?"),
        ("{last_name}.pdf", "did you mean `patient.last_name`?"),
        ("{path}.pdf", "unknown field"),
        ("{model}.pdf", "unknown field"),
        ("{}.pdf", "unknown field {}"),
        ("{patient.identifiers.1.id}.pdf", "count from 0"),
        ("{id.pdf", "a brace without its other one"),
        ("id}.pdf", "a brace without its other one"),
        ("/{id}.pdf", "no name on one side"),
        ("{mrn}//{id}", "no name on one side"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused(pattern, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        Pattern(pattern)


TEXTS = st.text("ab_-", min_size=1, max_size=3)


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=3),
    ends=st.tuples(st.text("ab_", max_size=2), st.text("ab_", max_size=2)),
    name=st.text("ab_-x", max_size=14),
)
@settings(max_examples=1500, deadline=None)
def test_a_name_is_divided_exactly_when_there_is_one_way(texts, ends, name):
    """Against every way that there is, found by trying all."""
    fields = ["id", "type", "title", "description"][: len(texts) + 1]
    pattern = (
        ends[0] + "".join(f"{{{f}}}{t}" for f, t in zip(fields, [*texts, ""], strict=True)) + ends[1]
    )
    ways = set(divisions(name, [ends[0], *texts, ends[1]]))
    keys = [{"id": "document_id"}.get(f, f) for f in fields]
    try:
        said = Pattern(pattern).described(name)
    except AmbiguousNameError:
        assert len(ways) > 1
    else:
        assert said == (dict(zip(keys, ways.pop(), strict=True)) if ways else None)
        assert not ways


def divisions(name, texts):
    """Every way to see a name as texts with at least one character between them."""
    first, *rest = texts
    if not name.startswith(first):
        return
    left = name[len(first) :]
    if not rest:
        if not left:
            yield ()
        return
    for length in range(1, len(left) + 1):
        for after in divisions(left[length:], rest):
            yield (left[:length], *after)


def test_a_long_name_of_nothing_but_the_text_between_takes_no_time():
    pattern = Pattern(
        "_".join("{" + f + "}" for f in ("mrn", "type", "id", "title", "visit", "order")) + "x"
    )

    assert pattern.described("_" * 255) is None
    with pytest.raises(AmbiguousNameError):
        pattern.described("_" * 254 + "x")
