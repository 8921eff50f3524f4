"""Quotes that are not closed: one row is rejected where that is certain, else the file; none is lost."""

from __future__ import annotations

import pytest

from chartsend.errors import ManifestError

CELL = 64 * 1024


OPEN = "has a quote that is not closed"
STRAY = "has a quote in a cell that does not begin with one in column 2 (title)"


def row(number, problem=f"{OPEN} in column 2 (title)"):
    return number, f"row {number} {problem}"


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        # The quote swallows good lines up to the next quote: they are rows after all.
        ('a,"CANARY\nb,B\nc,C\n"d","D"\n', [row(2), (3, None), (4, None), (5, None)]),
        ('a,"CANARY\nb,B\nc,"C"\n', [row(2), (3, None), (4, None)]),
        # Up to the end of the file, with and without a line end.
        ('a,"CANARY\nb,B\nc,C\n', [row(2), (3, None), (4, None)]),
        ('a,"CANARY\nb,B\nc,C', [row(2), (3, None), (4, None)]),
        ('a,"CANARY', [row(2)]),
        ('a,"', [row(2)]),
        ('a,b,"CANARY\nb,B\n', [row(2, f"{OPEN} in column 3"), (3, None)]),
        # Empty lines in between are none.
        ('a,"CANARY\r\n\r\nb,B\r\n', [row(2), (4, None)]),
        # Two of them, one after the other.
        ('a,"CANARY\nb,"CANARY\nc,C\n', [row(2), row(3), (4, None)]),
        # Closed where it makes too many cells, or too few.
        ('a,"CANARY\nb,"\nc,C,\n', [(2, "x"), (4, "row 4 has 3 cells, and the header 2 columns")]),
        ('"CANARY\nb,B"\nc,C\n', [row(2, f"{OPEN} in column 1 (path)"), row(3, STRAY), (4, None)]),
    ],
)  # fmt: skip
def test_where_the_lines_are_rows_only_the_row_with_the_quote_is_rejected(told, content, rows):
    said = told(f"path,title\n{content}", "csv")

    assert [number for number, _ in said] == [number for number, _ in rows]
    for (_, error), (_, expected) in zip(said, rows, strict=True):
        assert (error is None) is (expected is None)
        assert expected in {None, "x", error}
        assert "CANARY" not in (error or "")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('a,"CANARY\nand this\nb,"B"\n', 2),
        ('a,"CANARY\nb,B\nc\n', 2),
        ('a,"CANARY\nb,B\nc', 2),
        ('a,"CANARY\nb,B,\nc,C\n', 2),
        ('a,A\nb,"CANARY\nx\n"y\n', 3),
        # The first quote is closed well, the second is not: which line belongs to what?
        ('"x\ny",\nb,"1\n2","3\nno record\n', 5),
        ('a,"1\n2\n3","CANARY\nb,B\n', 4),
    ],
)
def test_where_they_are_not_the_whole_file_is_refused_with_the_line_of_the_quote(opened, content, line):
    with opened(f"path,title\n{content}", "csv") as manifest, pytest.raises(ManifestError) as caught:
        list(manifest.entries())

    assert caught.value.message.startswith(f"line {line}: a quote that is opened there is not closed")
    assert "CANARY" not in caught.value.message


def test_a_quote_that_is_not_closed_within_64_kib_was_not_meant_so(told):
    good = "b,B\n" * (CELL // 4)
    before, *others = told(f'path,title\na,"A\n{good}c,"C"\n', "csv")

    assert before == row(2)
    assert len(others) == CELL // 4 + 1
    assert all(error is None for _, error in others)


def test_a_long_cell_with_line_ends_is_read_up_to_the_limit(told):
    def at(lines):
        return told('path,description\na,"' + "x\n" * lines + '"\nb,B\n', "csv")

    assert at(2000) == [(2, None), (2003, None)]
    (number, error), _ = at(CELL // 2)
    assert number == 2
    assert f"description has {CELL} characters, at most 4096" in error
    with pytest.raises(ManifestError, match="line 2: a quote"):
        at(CELL // 2 + 1)


def test_a_row_on_many_lines_has_a_limit(opened):
    columns = ",".join(f"patient.identifiers.{n}.id" for n in range(40))
    cells = ",".join(['"' + "x\n" * 30_000 + '"'] * 40)

    with opened(f"path,{columns}\na,{cells}\n", "csv") as manifest:
        with pytest.raises(
            ManifestError, match="line 2: the row that begins there has more than 1048576 bytes"
        ):
            list(manifest.entries())
