"""The directive `from-code`: Markdown that `tables.py` makes from the program.

The one rule: what the program knows is written from the program, so the two cannot disagree.

    ```{from-code} settings
    ```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import tables
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class FromCode(SphinxDirective):
    """Parses what the named function of `tables` returns as part of the page."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        """The nodes of the Markdown."""
        name = self.arguments[0]
        markdown = tables.TABLES[name]()
        source = f"<made from the code: {name}>"
        lines = markdown.splitlines()
        self.env.note_reread()
        holder = nodes.section()
        holder.document = self.state.document
        self.state.nested_parse(
            StringList(lines, source), self.content_offset, holder, match_titles=True
        )
        return holder.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("from-code", FromCode)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
