"""What the reference makes from the code is complete, and what a person wrote there agrees with it."""

from __future__ import annotations

import datetime as dt
import inspect
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import msgspec
import pytest
from typed_settings.cls_utils import deep_options
from typed_settings.loaders import EnvLoader

import chartsend
from chartsend import Document, Receipt, Settings, errors
from chartsend.sandbox import faults
from chartsend.shape import Shape, parse_shape
from chartsend.transport.verdicts import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def tables() -> Iterator[ModuleType]:
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        import tables as module

        yield module
    finally:
        sys.path.remove(str(DOCS / "_ext"))


def error_classes() -> list[type[errors.TransferError]]:
    return [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.TransferError) and kind is not errors.TransferError
    ]


def test_every_error_stands_in_the_table_with_a_code_of_its_own(tables: ModuleType) -> None:
    table = tables.errors()

    codes = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(codes) == sorted(kind.code for kind in error_classes())
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.__name__)
def test_every_error_says_what_it_means(kind: type[errors.TransferError]) -> None:
    assert inspect.getdoc(kind)
    assert inspect.getdoc(kind) != inspect.getdoc(errors.TransferError)


def test_every_setting_stands_in_the_table(tables: ModuleType) -> None:
    text = tables.settings()

    for path in (option.path for option in deep_options(Settings)):
        if path != "destinations":
            assert f"| `{path.rpartition('.')[2]}` |" in text, path


def test_a_settings_variable_is_its_name_in_capitals() -> None:
    for option in deep_options(Settings):
        expected = "CHARTSEND_" + option.path.replace(".", "_").upper()
        assert EnvLoader("CHARTSEND_").get_envvar(option) == expected


def test_every_rule_every_receipt_field_and_every_fault_stands_in_its_table(tables: ModuleType) -> None:
    assert tables.verdicts().count("\n| ") >= len(RULES)
    for field in msgspec.structs.fields(Receipt):
        assert f"| `{field.encode_name}` |" in tables.receipt()
    for kind in get_args(faults.AnyFault):
        assert f"| `{kind.__struct_config__.tag}` |" in tables.fault_language()


def test_every_verb_shows_its_help(tables: ModuleType) -> None:
    text = tables.command_line()

    for verb in ("send", "delete", "sandbox", "doctor", "config show", "key new"):
        assert f"## `chartsend {verb}`" in text


def keys_of(kind: type[Shape], path: str = "") -> Iterator[str]:
    """Every key of a description, dotted; lists and tables lead to what is in them."""
    for field in msgspec.structs.fields(kind):
        if field.name == "content":
            continue
        yield f"{path}{field.encode_name}"
        for inner in shapes_in(field.type):
            yield from keys_of(inner, f"{path}{field.encode_name}.")


def shapes_in(annotation: Any) -> Iterator[type[Shape]]:
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        yield annotation
    for inner in get_args(annotation):
        yield from shapes_in(inner)


def test_the_document_page_has_every_key_and_no_other() -> None:
    page = (DOCS / "reference" / "document.md").read_text()
    table = page[page.index("## Every key") : page.index("Times have an offset")]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    written = {key for row in rows for key in re.findall(r"`([a-z_.]+)`", row[0])}
    # Keys that are listed in the second column of the row of their table.
    lists = {"patient.address", "visit.location"}
    for row in rows:
        (first, *_) = re.findall(r"`([a-z_.]+)`", row[0])
        if first in lists:
            written |= {f"{first}.{key}" for key in re.findall(r"`([a-z_]+)`", row[1])}

    # An authenticator has the keys of a provider, as the page says.
    keys = {key for key in keys_of(Document) if not key.startswith("authenticator.")}
    assert written == keys


def test_the_document_page_says_the_same_in_json_toml_and_python() -> None:
    page = (DOCS / "reference" / "document.md").read_text()
    page = page[page.index("## The same in JSON") :]

    def block(language: str) -> str:
        found = re.search(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        assert found is not None
        return found[1]

    program: dict[str, Any] = {}
    exec(block("python"), program)
    from_json = parse_shape(Document, json.loads(block("json")))
    from_toml = parse_shape(Document, tomllib.loads(block("toml")))

    assert from_json == from_toml
    assert msgspec.structs.replace(program["document"], path=None) == from_json
    assert from_json.documented_at == dt.datetime(2026, 7, 2, 13, 58, tzinfo=dt.UTC)


def test_every_public_name_has_a_docstring_and_stands_in_the_python_reference() -> None:
    page = (DOCS / "reference" / "api.md").read_text() + (DOCS / "reference" / "errors.md").read_text()

    for name in chartsend.__all__:
        if name == "__version__":
            continue
        thing = getattr(chartsend, name)
        assert inspect.getdoc(thing), name
        assert thing.__doc__, name
        assert f"chartsend.{name}\n" in page, name


def test_every_method_that_a_user_calls_has_a_docstring() -> None:
    for name in chartsend.__all__:
        thing = getattr(chartsend, name)
        if not isinstance(thing, type):
            continue
        for member, value in vars(thing).items():
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                assert value.__doc__, f"{name}.{member}"


def test_annotations_of_public_classes_can_be_read() -> None:
    for kind in (Document, Receipt, Settings):
        assert get_type_hints(kind)


def test_the_design_shows_the_rooms_that_there_are() -> None:
    page = (DOCS / "explanation" / "design.md").read_text()
    rooms = page[page.index("engine/chartsend/") : page.index("*Pure* means")]
    package = Path(chartsend.__file__).parent

    shown = set(re.findall(r"^  (\w+(?:/|\.py)) ", rooms, re.MULTILINE))
    there = {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()}
    there |= {path.name for path in package.glob("*.py") if not path.name.startswith("_")}
    assert shown == there
    for name in re.findall(r"\b\w+\.py\b", page):
        assert list(package.rglob(name)), name


PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_pages_name_no_setting_that_does_not_exist(page: Path) -> None:
    text = page.read_text()

    known = {option.path for option in deep_options(Settings)}
    for name in re.findall(r"`((?:auth|limits|timeouts|retry)\.\w+)`", text):
        assert name in known, name
