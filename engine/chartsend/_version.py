"""The version, read from the installed distribution: it is written down once, in pyproject.toml."""

from importlib.metadata import version

__version__ = version("chartsend")
