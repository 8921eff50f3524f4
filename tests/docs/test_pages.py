"""The examples of the documentation do what the pages say.

Commands and programs are run against the sandbox, settings and descriptions are parsed, and the output
that a page shows is the output there is. A block is left out when the line above it says
`% not run: REASON`. Further such lines: `% exit: N` (the code that it leaves with) and
`% background: FILE` (it runs on, once FILE is there, until the page's end).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from chartsend import Document, Receipt
from chartsend.sandbox import faults
from chartsend.settings.load import load_settings
from chartsend.shape import parse_shape
from chartsend.testing import SandboxProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^(?P<mark>`{3,}|:{3,})(?P<language>[^\n`]*)$")
_REMARK = re.compile(r"^% (?P<key>not run|exit|background): (?P<value>.+)$")
LANGUAGES = {"bash", "python", "toml", "json", "text"}
WAIT_S = 20.0

# A program as a page shows it may `await` outside a function, as in the asyncio REPL.
RUN_PYTHON = """
import ast, asyncio, inspect, sys
code = compile(sys.stdin.read(), "<page>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
async def main():
    outcome = eval(code, {"__name__": "__main__"})
    if inspect.isawaitable(outcome):
        await outcome
asyncio.run(main())
"""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """For messages, and for editors that can jump there."""
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        return "not run" not in self.remarks


def pages() -> list[Path]:
    """Every page that a person wrote, README.md included."""
    written = [page for page in DOCS.rglob("*.md") if "_build" not in page.parts]
    return [ROOT / "README.md", *sorted(written)]


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    name = str(page.relative_to(ROOT))
    found: list[Block] = []
    remarks: dict[str, str] = {}
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        remark = _REMARK.match(line)
        fence = _FENCE.match(line)
        if remark is not None:
            remarks[remark["key"]] = remark["value"]
        elif fence is not None and fence["mark"].startswith("`"):
            text = _until(lines, fence["mark"])
            found.append(Block(name, number, fence["language"].strip(), text, remarks))
            remarks = {}
        elif line.strip():
            remarks = {}
    return found


def _until(lines: Iterator[tuple[int, str]], mark: str) -> str:
    inside: list[str] = []
    for _, line in lines:
        if line.rstrip() == mark:
            return "\n".join(inside) + "\n"
        inside.append(line)
    raise ValueError("a fenced block has no end")


@dataclass(frozen=True)
class Place:
    """Where a page's commands run: a folder with files to send, and profiles that reach a sandbox."""

    folder: Path
    environment: dict[str, str]

    def run(self, block: Block) -> str:
        """Run a block; give what it printed, both streams."""
        by_bash = ["bash", "-euo", "pipefail", "-c", block.text]
        command = by_bash if block.language == "bash" else [sys.executable, "-c", RUN_PYTHON]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            input=None if block.language == "bash" else block.text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=50,
            check=False,
        )
        wanted = int(block.remarks.get("exit", "0"))
        assert done.returncode == wanted, f"{block.place} left with {done.returncode}:\n{done.stdout}"
        return done.stdout

    @contextlib.contextmanager
    def in_background(self, block: Block) -> Iterator[None]:
        """Run a block until the `with` ends, from when its file is there."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {block.text}"],
            cwd=self.folder,
            env=self.environment,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + WAIT_S
            while not (self.folder / block.remarks["background"]).exists():
                assert process.poll() is None, f"{block.place} ended"
                assert time.monotonic() < deadline, f"{block.place} was not ready in time"
                time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(WAIT_S)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess.start("--destination", "memorial-ehr") as process:
        yield process


@pytest.fixture
def place(tmp_path: Path, sandbox: SandboxProcess) -> Place:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "docs").symlink_to(DOCS)
    samples = DOCS / "samples"
    for name in ("consent-form.pdf", "visit-note.txt", "wound-left-heel.jpg"):
        for target in (folder / "scans", folder):
            target.mkdir(exist_ok=True)
            shutil.copy(samples / name, target / name)
    shutil.copy(samples / "consent-form.pdf", folder / "consent.pdf")
    config = tmp_path / "config" / "chartsend"
    config.mkdir(parents=True)
    profile = sandbox.info.profile.read_text()
    (config / "config.toml").write_text(named(profile, "staging") + named(profile, "production"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CHARTSEND_")}
    programs = str(Path(sys.executable).parent)
    return Place(
        folder,
        {
            **clean,
            "PATH": f"{programs}:{clean['PATH']}",
            "HOME": str(tmp_path),
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            # A page's ledgers are nobody else's: what another page sent was not sent before.
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "PYTHONWARNINGS": "error",
            # What this project's own tests need and a reader's need not have.
            "PYTEST_ADDOPTS": "-p no:asyncio -p no:aiohttp -p no:randomly -p no:cacheprovider",
        },
    )


def named(profile: str, name: str) -> str:
    """A profile that is a file of its own, as a table of `config.toml`."""
    inner = re.sub(r"^\[", f"[{name}.", profile, flags=re.MULTILINE)
    return f"[{name}]\n{inner}\n"


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in pages() if page.name != "README.md"], ids=ids)
@pytest.mark.timeout(180)
def test_the_examples_of_a_page_do_what_it_says(page: Path, place: Place) -> None:
    printed: str | None = None
    with contextlib.ExitStack() as stack:
        for block in blocks(page):
            if not block.is_run or block.language.startswith("{"):
                printed = None
            elif "background" in block.remarks:
                stack.enter_context(place.in_background(block))
            elif block.language in {"bash", "python"}:
                printed = place.run(block)
            elif block.language == "text" and printed is not None:
                check_output(block, printed)
            elif block.language in {"toml", "json"}:
                check_data(block, place)


def test_the_python_of_the_readme_runs(place: Place) -> None:
    programs = [block for block in blocks(ROOT / "README.md") if block.language == "python"]

    assert programs
    for block in programs:
        place.run(block)


@pytest.mark.parametrize("page", pages(), ids=ids)
def test_every_block_has_a_language_that_says_how_it_is_checked(page: Path) -> None:
    for block in blocks(page):
        known = block.language in LANGUAGES or block.language.startswith("{") or page.name == "README.md"
        assert known, f"{block.place}: a block of {block.language or 'no language'}"


def check_output(block: Block, printed: str) -> None:
    """Every line that a page shows was printed; numbers, ids and distances may differ."""
    lines = {shape(line) for line in printed.splitlines()}
    for line in block.text.splitlines():
        if line.strip() not in {"", "…"}:
            assert shape(line) in lines, f"{block.place} shows {line!r}, printed was:\n{printed}"


def shape(line: str) -> str:
    """A line without what differs from run to run."""
    line = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "ID", line)
    line = re.sub(r"\b[0-9a-f]{32,64}\b", "HEX", line)
    line = re.sub(r"\d+(\.\d+)?", "N", line)
    return " ".join(line.split())


def check_data(block: Block, place: Place) -> None:
    """What a page shows as data is accepted by what would read it."""
    try:
        if block.language == "toml":
            check_toml(tomllib.loads(block.text), block, place)
        else:
            check_json(json.loads(block.text), block)
    except (ValueError, msgspec.MsgspecError) as exc:
        pytest.fail(f"{block.place}: {exc}")


PROFILE_KEYS = {"environment", "auth", "destinations", "limits", "timeouts", "retry", "document"}


def check_toml(table: Mapping[str, Any], block: Block, place: Place) -> None:
    if PROFILE_KEYS & set(table):
        profiles = [block.text]
    elif any(isinstance(inner, Mapping) and PROFILE_KEYS & set(inner) for inner in table.values()):
        profiles = [
            re.sub(rf"^\[{name}\.?(.*)\]$", unnamed, block.text, flags=re.MULTILINE) for name in table
        ]
    else:
        parse_shape(Document, table)
        return
    for number, text in enumerate(profiles):
        file = place.folder / f"profile-{number}.toml"
        file.write_text(text)
        load_settings(str(file), {}, use_environment=False)


def unnamed(heading: re.Match[str]) -> str:
    return f"[{heading[1]}]" if heading[1] else ""


def check_json(value: Any, block: Block) -> None:
    if isinstance(value, list) or "do" in value:
        faults.parse(block.text.encode())
    elif "attempts" in value:
        msgspec.json.decode(block.text, type=Receipt)
    else:
        parse_shape(Document, value)
