"""What chartsend writes when it is wrong itself, and what its log may hold."""

from __future__ import annotations

import subprocess
import sys

import pytest

CANARY = "Quillfeather-0000991234"
CRASH = f"""
import sys
from chartsend.cli import main
from chartsend.cli.logs import start_logging
def broken():
    name = "{CANARY}"
    raise KeyError(name)
start_logging(sys.argv[1])
main._run = broken
main.run()
"""


def crash(level, script=CRASH):
    return subprocess.run([sys.executable, "-c", script, level], capture_output=True, check=False)


def test_an_error_of_its_own_shows_type_and_place_and_no_value():
    done = crash("warning")
    err = done.stderr.decode()

    assert done.returncode == 1
    assert "an error of its own: KeyError at <string>:7" in err
    assert "--log-level debug" in err
    assert CANARY not in err
    assert done.stdout == b""


def test_with_debug_the_way_to_it_is_shown_without_values():
    err = crash("debug").stderr.decode()

    assert "main.py" in err
    assert "in broken" in err
    assert CANARY not in err


def test_no_core_file_is_ever_written():
    script = CRASH.replace(
        "raise KeyError(name)", "import resource; return resource.getrlimit(resource.RLIMIT_CORE)[1]"
    )

    assert crash("warning", script).returncode == 0


def test_errors_inside_a_group_are_named():
    script = CRASH.replace("raise KeyError(name)", "raise ExceptionGroup(name, [KeyError(name)])")

    err = crash("warning", script).stderr.decode()

    assert "ExceptionGroup of KeyError" in err
    assert CANARY not in err


@pytest.mark.parametrize("where", ["thread", "collector"])
def test_errors_beside_the_main_path_show_no_value_either(where):
    started = {
        "thread": "import threading; t = threading.Thread(target=broken); t.start(); t.join()",
        "collector": "class A:\n    def __del__(self): broken()\nA()",
    }[where]
    script = CRASH.replace(
        "main._run = broken", f"main._run = lambda: exec({started!r}, globals()) or 0"
    )

    done = crash("warning", script)

    assert done.returncode == 0
    assert "KeyError" in done.stderr.decode()
    assert CANARY not in done.stderr.decode()


def logged(statement):
    """What a process whose log was started writes for one statement."""
    script = (
        "import logging, sys\n"
        "from chartsend.cli.logs import start_logging\n"
        "start_logging('info')\n"
        f"name = {CANARY!r}\n"
        f"{statement}\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    return done.stderr.decode()


def test_one_event_is_one_line():
    text = logged("logging.getLogger('chartsend').info('row %s\\r\\n\\x1b[31mred\\u2028', 17)")

    assert text.count("\n") == 1
    assert text.endswith("INFO chartsend: row 17   [31mred \n")


def test_texts_of_other_libraries_are_not_shown():
    text = logged(
        "logging.getLogger('asyncio').warning('task of %s', name)\n"
        "logging.getLogger('asyncio').info('nothing')"
    )

    assert text.endswith("WARNING asyncio: from <string>:5, text not shown\n")
    assert CANARY not in text
    assert text.count("\n") == 1


def test_a_warning_of_python_shows_its_place_only():
    text = logged("import warnings; warnings.warn(name)")

    assert text.count("\n") == 1
    assert CANARY not in text


def test_a_logged_exception_shows_its_type_only():
    text = logged(
        "try:\n    raise KeyError(name)\n"
        "except KeyError:\n    logging.getLogger('chartsend').exception('row 17')"
    )

    assert text.endswith("row 17 [KeyError]\n")
    assert CANARY not in text
