"""Cross-references: names that stand in annotations lead to the page where they are documented.

The one rule: a class is documented once, under the name that users import it by. What is of the
standard library or of another package is shown without a link, because its pages are elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import chartsend

if TYPE_CHECKING:
    from docutils import nodes
    from docutils.nodes import Element
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

INTERNAL = {
    # Aliases and classes that stand in signatures and are explained where they are used.
    "Api", "Availability", "Content", "Line", "Method", "Model", "Moment", "Sex", "Status", "Step",
    "Environment", "Self", "Never",
}  # fmt: skip


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: Element
) -> nodes.Node | None:
    """Find the page of a name, or show it without a link; None leaves the warning to Sphinx."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"].removeprefix("~")
    last = target.rpartition(".")[2]
    domain = env.get_domain("py")
    for candidate in (f"chartsend.{last}", f"chartsend.errors.{last}", f"chartsend.testing.{last}"):
        if candidate == target or candidate not in domain.objects:
            continue
        return domain.resolve_xref(
            env, node.get("refdoc", ""), app.builder, node["reftype"], candidate, node, contnode
        )
    first = target.partition(".")[0]
    is_ours = first == "chartsend" or last in chartsend.__all__
    if not is_ours or last in INTERNAL:
        return contnode
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
