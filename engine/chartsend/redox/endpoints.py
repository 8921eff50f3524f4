"""Addresses and headers of every call that carries a document.

The one rule: an address is made of settings that were checked when they were read; nothing from a
document or an answer enters it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..document import Api, Model
    from ..settings import Destination, Environment, Settings

UPLOAD_SLUG: Final = "redox"
"""Routes an upload to Redox itself; it is no destination."""
FHIR_JSON: Final = "application/fhir+json"
JSON: Final = "application/json"
_OPERATIONS: Final = {
    "document-reference": "DocumentReference/$documentreference-create",
    "diagnostic-report": "DiagnosticReport/$diagnosticreport-create",
}


def upload_url(settings: Settings, *, api: Api) -> str:
    """Where a file is uploaded.

    Raises:
        ConfigError: No environment is set, or the region's upload host is not published.
    """
    if api == "data-model":
        return f"{settings.blob_base}/upload"
    return f"{_fhir_base(settings, UPLOAD_SLUG)}/Binary"


def message_url(settings: Settings, *, api: Api, model: Model, destination: Destination) -> str:
    """Where a message is sent.

    Raises:
        ConfigError: Something that the address needs is not set, or the API lacks the model.
    """
    slug = check_address(settings, api=api, destination=destination)
    if api == "data-model":
        return f"{settings.api_base}/endpoint"
    if model not in _OPERATIONS:
        raise ConfigError(f"fhir has no model {model}: choose {' or '.join(_OPERATIONS)}")
    return f"{_fhir_base(settings, slug)}/{_OPERATIONS[model]}"


def search_url(settings: Settings, destination: Destination) -> str:
    """Where DocumentReferences are searched, with a form: one of `_id`, `identifier`, `patient`.

    Raises:
        ConfigError: Something that the address needs is not set.
    """
    slug = check_address(settings, api="fhir", destination=destination)
    return f"{_fhir_base(settings, slug)}/DocumentReference/_search"


def base_headers(settings: Settings, *, api: Api) -> dict[str, str]:
    """Headers of every call of an API, the token apart.

    `Redox-Source-Id` is documented for FHIR, for environments with several sources; whether the
    upload host reads it is not published, and it does no harm there.
    """
    headers = {"Accept": FHIR_JSON if api == "fhir" else JSON}
    if settings.source_id is not None:
        headers["Redox-Source-Id"] = settings.source_id
    return headers


def check_address(settings: Settings, *, api: Api, destination: Destination) -> str:
    """The slug or id that an API addresses a destination by.

    Raises:
        ConfigError: There is none, no environment is set, or the credentials are for the other API.
    """
    environment(settings)
    where = f"[destinations.{destination.name}]" if destination.name else "the destination's table"
    if api == "data-model":
        if destination.id is None:
            raise ConfigError(f"data-model needs the destination's id: set id in {where}")
        return destination.id
    if settings.auth.kind == "legacy":
        raise ConfigError(
            "a legacy API key works with data-model only: choose api data-model, or an OAuth API key"
        )
    if destination.slug is None:
        raise ConfigError(f"fhir needs the destination's slug: set slug in {where}")
    if destination.slug == UPLOAD_SLUG:
        raise ConfigError(f"the slug {UPLOAD_SLUG} is Redox's own address for uploads, no destination")
    return destination.slug


def environment(settings: Settings) -> Environment:
    """The environment flag.

    Raises:
        ConfigError: It is not set; there is no default, since a wrong one would be a real chart.
    """
    if settings.environment is None:
        raise ConfigError(
            "no environment is set, and there is no default: say Development, Staging or Production"
            " with --environment, CHARTSEND_ENVIRONMENT, or environment in the profile"
        )
    return settings.environment


def _fhir_base(settings: Settings, slug: str) -> str:
    return f"{settings.api_base}/fhir/R4/{slug}/{environment(settings)}"
