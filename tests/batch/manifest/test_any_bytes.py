"""Whatever the bytes are: documented errors only, no content in them, and positions that hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from chartsend.errors import ManifestError, PathEscapeError, RowRejectedError

CANARY = "CaNaRy"
PIECES = [
    b"\n", b"\r\n", b"\r", b"\n\n", b'"', b'""', b'"""', b",", b",,", b",\n", b'",', b',"', b'"\n',
    b'"\r\n', b"#", b"{", b"}", b"[", b"]", b":", b"\\", b"\\u0022", b"\\ud800", b" ", b"\t", b"\0",
    b"\xff", b"\xef\xbb\xbf", b"\xc3", b"\xc3\xa9", b"null", b"true", b"17", b"-0", b"1e999",
    b"NaN", b"..", b"/", b"~", b"a.pdf", b"path", b"type", b"title", b"description",
    b'{"path":"a.pdf"}', b'{"path":"a.pdf","title":"', b'"path":"',
    b'"patient":{"identifiers":[{"id":"1"}]}', b'{"path":"a.pdf"}\n', b"a.pdf,t\n",
    b'"a.pdf","t"\n', b'"a.pdf","t\nu"\n', b"path,title\n", b"path,description\n",
    b"path,patient.identifiers.0.id\n", b"2026-07-02T13:58:00Z", b'{"' + CANARY.encode() + b'":',
    CANARY.encode(), b'"' + CANARY.encode() + b'"', b"x" * 300,
]  # fmt: skip
BYTES = st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3)), max_size=60).map(b"".join),
)
STARTS = {
    "jsonl": st.just(b""),
    "csv": st.sampled_from(
        [b"", b"path\n", b"path,title\n", b"title,path,description\r\n", b'"path","description"\n']
    ),
}


def seeded(content):
    """The content with a word that no message may repeat in every line of it."""
    return b"\n".join(line + CANARY.encode() if line.strip() else line for line in content.split(b"\n"))


def all_of(manifest):
    """What one pass gave, and the refusal that ended it, if one did."""
    found = []
    try:
        for entry in manifest.entries():
            found.append(entry)  # noqa: PERF402  # what was given before a refusal counts
    except ManifestError as error:
        return found, error
    return found, None


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_nothing_but_the_documented_errors_and_never_content(opened, form, data):
    content = data.draw(STARTS[form]) + data.draw(BYTES)
    if data.draw(st.booleans()):
        content = seeded(content)
    try:
        with opened(content, form) as manifest:
            entries, refusal = all_of(manifest)
    except ManifestError as error:
        entries, refusal = [], error

    for error in [refusal, *(entry.error for entry in entries)]:
        if error is not None:
            assert type(error) in {ManifestError, RowRejectedError, PathEscapeError}
            for shown in (error.message, str(error), repr(error), *getattr(error, "problems", ())):
                assert CANARY not in shown
                assert shown.isprintable()
                assert len(shown) < 600
    for entry in entries:
        assert (entry.row is None) is (entry.error is not None)
        assert CANARY not in repr(entry)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_every_position_gives_its_entry_again_and_the_rest_from_there(opened, form, data):
    content = data.draw(STARTS[form]) + data.draw(BYTES)
    try:
        with opened(content, form) as manifest:
            entries, refusal = all_of(manifest)
            for at, entry in enumerate(entries):
                assert same(manifest.entry_at(entry.position), entry)
                rest = manifest.entries(entry.position)
                for expected in entries[at:]:
                    assert same(next(rest), expected)
                if refusal is None:
                    assert list(rest) == []
                else:
                    with pytest.raises(ManifestError, match=r".") as caught:
                        list(rest)
                    assert caught.value.message == refusal.message
            if refusal is None:
                assert manifest.is_finished
                assert manifest.end.offset == len(content)
                assert list(manifest.entries(manifest.end)) == []
    except ManifestError:
        assert "entries" not in locals()  # the header was refused


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_every_line_with_something_in_it_belongs_to_one_entry_or_none_is_given(opened, form, data):
    content = data.draw(STARTS[form].filter(bool) if form == "csv" else STARTS[form]) + data.draw(BYTES)
    try:
        with opened(content, form) as manifest:
            entries, refusal = all_of(manifest)
            first = manifest._form.first_line
    except ManifestError:
        return
    if refusal is not None:
        return
    text = content.removeprefix(b"\xef\xbb\xbf")
    lines = {
        n for n, line in enumerate(text.split(b"\n"), start=1) if n >= first and line.strip(b" \t\r")
    }
    if form == "jsonl":
        lines = {n for n in lines if not text.split(b"\n")[n - 1].startswith(b"#")}
    covered = [n for e in entries for n in range(e.number, e.number + e.raw.count(b"\n") + 1)]

    assert len(covered) == len(set(covered))
    assert lines <= set(covered)


def same(one, other):
    """Equal, errors by their kind and text."""

    def key(entry):
        error = entry.error
        return entry.position, entry.raw, entry.row, error and (type(error), error.message)

    return key(one) == key(other)
