"""Words that may be repeated from an answer: codes, and names of fields of our own messages.

The one rule: a closed list, each with its source; a word that is not here is not logged.
"""
# ruff: noqa: SIM905  # word lists read better as text than as two hundred quoted lines

from __future__ import annotations

from typing import Final

# FHIR R4, value set issue-type.
ISSUE_CODES: Final = frozenset(
    "invalid structure required value invariant security login unknown expired forbidden suppressed"
    " processing not-supported duplicate multiple-matches not-found deleted too-long code-invalid"
    " extension too-costly business-rule conflict transient lock-error no-store exception timeout"
    " incomplete throttled informational".split()
)
# The elements of the messages that we make. A path of other words is not repeated: a server that
# echoes a name in a path would otherwise have it logged.
FHIR_RESOURCES: Final = frozenset(
    "Bundle MessageHeader DocumentReference DiagnosticReport Patient Practitioner Encounter"
    " Binary Parameters OperationOutcome".split()
)
FHIR_ELEMENTS: Final = frozenset(
    "account address attachment author authenticator basedOn birthDate city class code coding"
    " content contentType context country creation data date description display district"
    " effectiveDateTime encounter endpoint entry eventUri eventCoding family focus format fullUrl"
    " gender given id identifier issued line location masterIdentifier name performer period"
    " physicalType postalCode presentedForm reference related relatesTo resource resourceType"
    " resultsInterpreter size source start state status subject system target telecom text"
    " timestamp title type url value".split()
)
MODEL_FIELDS: Final = frozenset(
    "AccountNumber Address ApplicationOrderID Authenticated Authenticator Availability Bed City"
    " Code Codeset CollectionDateTime CompletionDateTime ContentType Country County"
    " CreationDateTime DOB DataModel Demographics Department Description Destinations"
    " DocumentDescription DocumentID DocumentType DocumentationDateTime EmailAddresses"
    " EventDateTime EventType Facility FileContents FileName FileType FirstName Home ID IDType"
    " Identifiers LastName Location Media Meta MiddleName Name Note Notes Orders"
    " OriginalDocumentID Patient PatientClass PhoneNumber PrimaryResultsInterpreter Procedure"
    " Provider RelatedGroupID Results ResultsStatus Room ServiceDateTime Sex Source State Status"
    " StreetAddress Test Type Value ValueType Visit VisitNumber ZIP".split()
)
# RFC 6749 section 5.2.
OAUTH_ERRORS: Final = frozenset(
    "invalid_request invalid_client invalid_grant unauthorized_client unsupported_grant_type"
    " invalid_scope".split()
)
# Redox, "Troubleshoot OAuth API key errors".
OAUTH_DESCRIPTIONS: Final = frozenset(
    {
        "x-www-form-urlencoded content-type required",
        "Missing grant_type parameter",
        "The grant_type parameter should equal 'client_credentials'",
        "Missing client assertion type",
        "Invalid client assertion type",
        "Missing client assertion",
        "JWT header kid property is required",
        "Public key not found, check client_id, kid and Redox dashboard settings",
    }
)
