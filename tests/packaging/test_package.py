"""What is shipped is what is meant: a wheel with the package and nothing else, few dependencies, and a
README whose two lines are two lines."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def ask_python(program: str, cwd: Path) -> str:
    """What a program prints in a fresh interpreter that starts in `cwd`."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from the tree as pip builds it: in an isolated environment of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_wheel_holds_the_package_and_its_metadata_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    top = {name.partition("/")[0] for name in wheel.namelist()}

    assert top == {"chartsend", f"chartsend-{PROJECT['version']}.dist-info"}
    assert not [name for name in wheel.namelist() if "__pycache__" in name or "test_" in name]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_wheel_has_every_module_the_marker_for_types_and_the_licence(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())

    modules = {
        str(path.relative_to(ROOT / "engine")) for path in (ROOT / "engine" / "chartsend").rglob("*.py")
    }
    assert modules <= names
    assert "chartsend/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_wheel_asks_for_few_packages_and_has_its_command(wheel: zipfile.ZipFile) -> None:
    info = f"chartsend-{PROJECT['version']}.dist-info"
    metadata = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
    core = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]

    assert len(core) == len(PROJECT["dependencies"]) <= 12
    assert metadata["Requires-Python"] == ">=3.11"
    assert b"chartsend = chartsend.__main__:main" in wheel.read(f"{info}/entry_points.txt")


def test_dependencies_do_not_bring_pydantic() -> None:
    assert not [need for need in PROJECT["dependencies"] if "pydantic" in need]
    with pytest.raises(PackageNotFoundError):
        version("pydantic")


def test_only_the_package_can_be_imported_from_elsewhere(tmp_path: Path) -> None:
    program = (
        "from importlib.util import find_spec; print(find_spec('engine'), bool(find_spec('chartsend')))"
    )

    assert ask_python(program, tmp_path) == "None True"


def test_importing_the_engine_loads_neither_the_command_nor_the_sandbox(tmp_path: Path) -> None:
    program = (
        "import sys; from chartsend import Document, Engine;"
        "print([n for n in sys.modules if n in {'click', 'rich', 'jwt', 'typed_settings', 'pydantic'}"
        " or n.startswith(('chartsend.cli', 'chartsend.sandbox', 'chartsend.testing'))])"
    )

    assert ask_python(program, tmp_path) == "[]"


def test_import_layers_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def readme_lines() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_readme_has_two_commands_each_one_line_that_sets_itself_up() -> None:
    first, second = readme_lines()[:2]

    for block in (first, second):
        (line,) = block.splitlines()
        assert "python3 -m venv .venv" in line
        assert "[ -x .venv/bin/pip ]" in line  # reused when it is there
        assert subprocess.run(["sh", "-n", "-c", line], check=False).returncode == 0
    assert "chartsend send" in first
    assert "--sandbox" in first
    assert ".venv/bin/python -m pytest" in second


def test_the_samples_of_the_readme_are_made_the_same_every_time(tmp_path: Path) -> None:
    script = ROOT / "docs" / "samples" / "make_samples.py"

    for folder in ("one", "two", "two"):
        subprocess.run([sys.executable, script, tmp_path / folder], check=True)

    made = {path.name: path.stat().st_size for path in (tmp_path / "one").iterdir()}
    assert {Path(name).suffix for name in made} == {".pdf", ".jpg", ".txt", ".tif"}
    assert 29_000_000 <= made["scan-27-pages.tif"] < 30_000_000
    for name in made:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_the_readme_points_to_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_no_tracked_text_names_a_machine_or_a_registry() -> None:
    wanted = re.compile(r"(?<![\w.])/(?:work|root|home|Users)/|--(?:extra-)?index-url|/simple/")
    here = Path(__file__)
    texts = [
        path
        for part in ("engine", "docs", "tests", "benchmarks", ".ci")
        for path in (ROOT / part).rglob("*")
        if path.is_file()
        and path != here
        and not {"_build", "__pycache__"} & set(path.parts)
        and path.suffix not in {".pdf", ".jpg", ".pyc"}
    ]

    for path in [*texts, *ROOT.glob("*.md"), ROOT / "pyproject.toml"]:
        assert not wanted.search(path.read_text(encoding="utf-8")), path
