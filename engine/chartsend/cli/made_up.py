"""The made-up patient that `--sandbox` uses where a newcomer gave nothing.

The one rule: nobody here exists. The ids are of the ranges that these registries never give out,
or belong to no registry at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..description import merge

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENT = {
    "identifiers": [{"id": "0000991234", "type": "MR"}],
    "first_name": "Marla",
    "last_name": "Quillfeather",
    "birth_date": "1971-03-09",
    "sex": "Female",
}
# An NPI that ends in a wrong check digit.
PROVIDER = {"id": "9999999995", "id_type": "NPI", "first_name": "Odo", "last_name": "Fenwick"}
VISIT = {"number": "V-17"}
ORDER = {
    "id": "LAB-77120",
    "code": "PDF_REPORT",
    "codeset": "L",
    "description": "Report as PDF",
}


def fill(described: Mapping[str, Any], *, model: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A description in which nothing is missing, and the names of what was made up.

    What was given stays as it was: of a patient with an identifier, nothing is made up.
    """
    made_up: dict[str, Any] = {
        "type": "Consent Form",
        "patient": PATIENT,
        "provider": PROVIDER,
        "visit": VISIT,
    }
    if model == "results":
        made_up["order"] = ORDER
    if model == "diagnostic-report":
        made_up["order"] = {"code": ORDER["code"], "description": ORDER["description"]}
    lacking = tuple(key for key in made_up if not described.get(key))
    return merge(described, made_up), lacking
