"""What a refused token request means: Redox's documented texts, each with what to do about it.

The one rule: a text that is not in this table is never repeated. It could hold anything, our own
assertion included.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..errors import AuthRejectedError, Phase
from .replies import json_object

if TYPE_CHECKING:
    from ..ports import Reply

# `error_description` of developer.redoxengine.com, "Authenticate with JWT", and its cause.
_HINTS: Final = {
    "": (
        "Redox gives no reason; it means the signature or a claim. Check that auth.key_file is the"
        " private half of the key registered under auth.key_id, that auth.algorithm (alg) fits it,"
        " the audience (aud), and this machine's clock (iat)"
    ),
    "x-www-form-urlencoded content-type required": (
        "the form's content type did not arrive: something between here and Redox changed it;"
        " check token_url and proxy"
    ),
    "Missing grant_type parameter": "the form did not arrive whole; check token_url and proxy",
    "The grant_type parameter should equal 'client_credentials'": (
        "the form's grant_type was changed on the way; check token_url and proxy"
    ),
    "Missing client assertion type": "the form did not arrive whole; check token_url and proxy",
    "Invalid client assertion type": (
        "the form's client assertion type was changed on the way; check token_url and proxy"
    ),
    "Missing client assertion": "the form did not arrive whole; check token_url and proxy",
    "JWT header kid property is required": (
        "set auth.key_id to the kid of the public key registered in the Redox dashboard"
    ),
    "Public key not found, check client_id, kid and Redox dashboard settings": (
        "Redox knows no such key: compare auth.client_id and auth.key_id (kid) with the API key in"
        " the dashboard, and check that the key is registered there for this environment"
    ),
}

_CLAIM: Final = re.compile(r"Unexpected ([a-z]{3,5}) claim value", re.ASCII)
_CLAIM_HINTS: Final = {
    "iss": "the issuer (iss) is auth.client_id; compare it with the dashboard",
    "sub": "the subject (sub) is auth.client_id; compare it with the dashboard",
    "aud": "the audience (aud) must be Redox's token URL; check token_url and auth.audience",
    "iat": "the issue time (iat) is not Redox's time; check this machine's clock",
    "exp": "the expiry (exp) does not fit Redox's time; check this machine's clock",
    "nbf": "the start time (nbf) does not fit Redox's time; check this machine's clock",
    "jti": (
        "the assertion's id (jti) was seen before: something between here and Redox sends requests"
        " twice, or another program signs with the same ids"
    ),
    "scope": "check auth.scope; it must belong to the API key's environment",
}
_CLOCK_CLAIMS: Final = {"iat", "exp", "nbf"}

# RFC 6749 section 5.2: where there is no description, the code still says something.
_CODE_HINTS: Final = {
    "invalid_client": "check auth.client_id, auth.key_id and the key itself against the dashboard",
    "unauthorized_client": "this API key may not ask for tokens so; check it in the dashboard",
    "invalid_scope": "check auth.scope; it must belong to the API key's environment",
}
_STATUS_HINTS: Final = {
    403: "no reason that we know; it may come from a firewall in front of Redox: check token_url",
    404: "there is no token endpoint at this address; check token_url",
    405: "there is no token endpoint at this address; check token_url",
    415: "the form's content type was changed on the way; check token_url and proxy",
}
_NO_REASON: Final = "no reason that we know; check auth.client_id, auth.key_id and token_url"


def may_be_the_clock(reply: Reply) -> bool:
    """Whether a wrong clock could be behind the refusal, which no other reason is given for."""
    description = _description(reply)
    if description is None or not description:
        return True
    match = _CLAIM.fullmatch(description)
    if match is not None and match[1] in _CLAIM_HINTS:
        return match[1] in _CLOCK_CLAIMS
    return description not in _HINTS


def refusal(reply: Reply) -> AuthRejectedError:
    """The error for a 4xx, with the hint that fits."""
    return AuthRejectedError(
        f"the token server refused the credentials ({reply.status}): {_hint(reply)}",
        phase=Phase.ANSWERED,
        status=reply.status,
    )


def _hint(reply: Reply) -> str:
    description = _description(reply)
    if description is not None:
        if description in _HINTS:
            return _HINTS[description]
        match = _CLAIM.fullmatch(description)
        if match is not None and match[1] in _CLAIM_HINTS:
            return _CLAIM_HINTS[match[1]]
    code = (json_object(reply) or {}).get("error")
    if isinstance(code, str) and code in _CODE_HINTS:
        return _CODE_HINTS[code]
    return _STATUS_HINTS.get(reply.status, _NO_REASON)


def _description(reply: Reply) -> str | None:
    """Without the blanks around it; None when there is none."""
    value = (json_object(reply) or {}).get("error_description")
    return value.strip() if isinstance(value, str) else None
