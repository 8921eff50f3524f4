"""No cell of a CSV file is a formula."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, strategies as st

from chartsend.cli.batch.cells import escaped, lines_of


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_what_a_spreadsheet_would_calculate_is_text(first):
    assert escaped(f"{first}1+1") == f"'{first}1+1"


@pytest.mark.parametrize("text", ["", "row 17", "'=1", "1-1", " =1"])
def test_other_texts_stay_as_they_are(text):
    assert escaped(text) == text


def test_numbers_are_not_texts():
    assert lines_of([(17, -3, "x")]) == "17,-3,x\r\n"


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=2, max_size=2)))
def test_what_is_written_is_read_again(rows):
    read = list(csv.reader(io.StringIO(lines_of(rows), newline="")))

    assert read == [[escaped(cell) for cell in row] for row in rows]
