"""Who a request comes from: the token says which sources it speaks for, the message which of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .answers import refusal_for

if TYPE_CHECKING:
    from .accounts import Source
    from .exchange import Exchange
    from .state import Sandbox
    from .tokens import Grant

Dialect = Literal["fhir", "data-model", "blob"]


def grant_of(sandbox: Sandbox, exchange: Exchange, dialect: Dialect) -> Grant:
    """Check the token of a request, which needs only its head.

    Raises:
        RefusedError: 401; legacy tokens are good for the Data Model API only.
    """
    grant = sandbox.tokens.find(exchange.request.headers.get("Authorization"))
    if grant is None or (grant.is_legacy and dialect == "fhir"):
        raise refusal_for(dialect, 401, "login", "Invalid or expired access token")
    return grant


def source_of(
    sandbox: Sandbox,
    grant: Grant,
    named: str | None,
    dialect: Dialect,
) -> Source:
    """Find the source that a request speaks for.

    Args:
        sandbox: Whose preset decides.
        grant: What its token is good for.
        named: The source it names (`Redox-Source-Id`, `Meta.Source.ID`), if any.
        dialect: How a refusal is spelled.

    Raises:
        RefusedError: 403 for a source of somebody else; 400 when several are possible and none is
            named (what Redox does then is unknown; the preset `lenient` takes the first).
    """
    if named is not None:
        found = next((s for s in grant.sources if s.id == named), None)
        if found is None:
            raise refusal_for(dialect, 403, "forbidden", "This token does not own the source named")
        return found
    first, *others = grant.sources
    if others and sandbox.options.preset != "lenient":
        raise refusal_for(
            dialect,
            400,
            "required",
            "This key has several sources: name one (Redox-Source-Id or Meta.Source.ID)",
        )
    return first
