"""A home of its own for every test: no profile and no variable of the machine's reaches it."""

import os

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("CHARTSEND_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "home").mkdir()
    (tmp_path / "config" / "chartsend").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def config(home):
    """Write `config.toml`; give its path."""

    def write(text):
        file = home / "config" / "chartsend" / "config.toml"
        file.write_text(text)
        return file

    return write
