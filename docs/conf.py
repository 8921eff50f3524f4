"""How the documentation is built: `sphinx-build -W -n docs docs/_build/html`."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "chartsend"
author = "the chartsend authors"
copyright = "2026, the chartsend authors"
release = version = version_of("chartsend")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "from_code",
    "public_names",
]
exclude_patterns = ["_build", "samples"]
templates_path = []

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False
default_role = "code"  # docstrings write `names` with one backtick
smartquotes_action = "D"  # dashes; quotation marks stay as typed

nitpicky = True

html_theme = "furo"
html_title = f"chartsend {release}"
html_static_path = ["_static"]
html_css_files = ["chartsend.css"]
html_copy_source = False
html_show_sphinx = False
