"""Tokens are given and refused as Redox documents it."""

from __future__ import annotations

import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PEM = serialization.Encoding.PEM
PRIVATE = serialization.PrivateFormat.PKCS8
PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo


def pems(key):
    private = key.private_bytes(PEM, PRIVATE, serialization.NoEncryption()).decode()
    return private, key.public_key().public_bytes(PEM, PUBLIC).decode()


def assert_refused(answer, description, status=400):
    assert answer.status == status, answer
    body = answer.json()
    assert body["error_description"] == description
    assert body["error"] in {"invalid_request", "invalid_client"}
    assert body["error_uri"].startswith("https://docs.redoxengine.com/")
    assert set(body) == {"error", "error_description", "error_uri"}


def test_a_signed_assertion_gives_a_token_that_works(sandbox, client):
    answer = client.ask_token(scope="fhir:development")

    assert answer.status == 200
    token = answer.json()
    assert list(token) == ["access_token", "scope", "token_type", "expires_in"]
    assert (token["scope"], token["token_type"], token["expires_in"]) == (
        "fhir:development",
        "Bearer",
        300,
    )
    assert [e["kind"] for e in sandbox.events()] == ["token", "token"]
    assert sandbox.requests()["tokens_issued"] == 2
    assert client.binary(b"x").status == 201


def test_rs384_is_accepted_like_es384(sandbox, client):
    private, public = pems(rsa.generate_private_key(65537, 2048))
    sandbox.register_key(client.profile["auth"]["client_id"], "rsa-1", public)

    signed = client.assertion(key=private, algorithm="RS384", headers={"kid": "rsa-1"})

    assert client.ask_token(client_assertion=signed).status == 200


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS384"])
def test_other_algorithms_are_refused(sandbox, client, algorithm):
    private, public = pems(rsa.generate_private_key(65537, 2048))
    sandbox.register_key(client.profile["auth"]["client_id"], "rsa-1", public)

    signed = client.assertion(key=private, algorithm=algorithm, headers={"kid": "rsa-1"})

    assert_refused(client.ask_token(client_assertion=signed), "")


def test_an_unsigned_assertion_is_refused(client):
    kid = client.profile["auth"]["key_id"]
    unsigned = jwt.encode(client.claims(), "", algorithm="none", headers={"kid": kid})

    assert_refused(client.ask_token(client_assertion=unsigned), "")


def test_a_signature_by_another_key_is_refused(client):
    private, _ = pems(ec.generate_private_key(ec.SECP384R1()))

    assert_refused(client.ask_token(client_assertion=client.assertion(key=private)), "")


@pytest.mark.parametrize("garbage", ["x", "a.b.c", "....", "é", "e30.e30.AAAA"])
def test_what_is_no_jwt_is_refused(client, garbage):
    answer = client.ask_token(client_assertion=garbage)

    assert answer.status == 400
    assert answer.json()["error_description"] in {"", "JWT header kid property is required"}


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({"grant_type": None}, "Missing grant_type parameter"),
        ({"grant_type": ""}, "Missing grant_type parameter"),
        (
            {"grant_type": "password"},
            "The grant_type parameter should equal 'client_credentials'",
        ),
        ({"client_assertion_type": None}, "Missing client assertion type"),
        ({"client_assertion_type": "urn:x"}, "Invalid client assertion type"),
        ({"client_assertion": None}, "Missing client assertion"),
    ],
)
def test_each_missing_or_wrong_field_has_its_text(client, changes, description):
    assert_refused(client.ask_token(**changes), description)


def test_a_json_body_is_refused(client):
    answer = client.request("POST", "/v2/auth/token", b"{}", {"Content-Type": "application/json"})

    assert_refused(answer, "x-www-form-urlencoded content-type required")


def test_a_header_without_kid_is_refused(client):
    signed = client.assertion(headers={})

    assert_refused(client.ask_token(client_assertion=signed), "JWT header kid property is required")


@pytest.mark.parametrize("what", ["kid", "client"])
def test_an_unknown_key_or_client_is_refused(client, what):
    if what == "kid":
        signed = client.assertion(headers={"kid": "nobody"})
    else:
        signed = client.assertion(client.claims(iss="nobody", sub="nobody"))

    assert_refused(
        client.ask_token(client_assertion=signed),
        "Public key not found, check client_id, kid and Redox dashboard settings",
    )


def claim_cases():
    now = int(time.time())
    return [
        ("sub", {"sub": "somebody-else"}),
        ("sub", {"sub": None}),
        ("aud", {"aud": "https://api.redoxengine.com/v2/auth/token"}),
        ("aud", {"aud": None}),
        ("iat", {"iat": None}),
        ("iat", {"iat": "now"}),
        ("iat", {"iat": True}),
        ("iat", {"iat": now - 330, "exp": now - 40}),
        ("iat", {"iat": now + 90, "exp": now + 200}),
        ("exp", {"exp": None}),
        ("exp", {"exp": now + 400}),
        ("exp", {"iat": now - 120, "exp": now - 60}),
        ("jti", {"jti": None}),
        ("jti", {"jti": ""}),
        ("jti", {"jti": 7}),
    ]


@pytest.mark.parametrize(("claim", "changes"), claim_cases())
def test_each_wrong_claim_is_named(client, claim, changes):
    if "exp" in changes and changes.get("exp") is not None:
        shift = int(time.time()) - claim_now
        changes = {k: v + shift if isinstance(v, int) else v for k, v in changes.items()}
    signed = client.assertion(client.claims(**changes))

    assert_refused(client.ask_token(client_assertion=signed), f"Unexpected {claim} claim value")


claim_now = int(time.time())


def test_an_assertion_is_good_for_one_token(client):
    signed = client.assertion()
    assert client.ask_token(client_assertion=signed).status == 200

    assert_refused(client.ask_token(client_assertion=signed), "Unexpected jti claim value")


@pytest.mark.parametrize("sandbox", [("--preset", "lenient")], indirect=True)
def test_lenient_forgives_the_claims_that_working_clients_leave_out(sandbox, client):
    signed = client.assertion(client.claims(aud=None, exp=None, jti=None))

    assert client.ask_token(client_assertion=signed).status == 200


def test_refused_token_requests_leave_no_event(sandbox, client):
    before = sandbox.events()

    client.ask_token(grant_type="password")

    assert sandbox.events() == before


@pytest.mark.parametrize("sandbox", [("--token-lifetime", "0.4")], indirect=True)
def test_a_token_ends(sandbox, client):
    deadline = time.monotonic() + 10
    while client.binary(b"x").status == 201:
        assert time.monotonic() < deadline

    assert client.binary(b"x").status == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer nobody", "Basic abc", "bearer \xff"])
def test_requests_without_a_good_token_get_401(sandbox, client, header):
    client.bearer = lambda **more: (
        {"Authorization": header} | {k.replace("_", "-"): v for k, v in more.items()}
    )

    fhir, model = client.create(client.bundle(data="QQ==")), client.endpoint(client.note("QQ=="))
    form = client.upload(client.form(b"x"))

    assert fhir.status == model.status == form.status == 401
    assert fhir.json()["issue"][0]["code"] == "login"
    assert (model.headers["Content-Type"], model.body) == (
        "text/html; charset=utf-8",
        b"Invalid or expired access token",
    )
    assert "errorDetail" in form.json()
    assert all(e["kind"] == "token" for e in sandbox.events())


@pytest.mark.parametrize("sandbox", [("--legacy",)], indirect=True)
class TestLegacy:
    @pytest.fixture
    def client(self, logged_out):
        return logged_out

    def test_a_key_and_its_secret_give_a_token_for_a_day(self, sandbox, client):
        auth = client.profile["auth"]
        secret = sandbox.info.profile.with_name("secret").read_text()
        assert (auth["kind"], auth["secret_file"]) == (
            "legacy",
            str(sandbox.info.profile.with_name("secret")),
        )

        answer = client.request(
            "POST",
            "/auth/authenticate",
            f'{{"apiKey":"{auth["api_key"]}","secret":"{secret}"}}'.encode(),
            {"Content-Type": "application/json"},
        )

        assert answer.status == 200
        assert len(answer.body) == 145  # as recorded
        token = answer.json()
        assert set(token) == {"accessToken", "expires", "refreshToken"}
        client.token = token["accessToken"]
        assert client.endpoint(client.note("QQ==")).status == 200
        assert client.binary(b"x").status == 401  # legacy keys are no good for FHIR

        again = client.request(
            "POST",
            "/auth/refreshToken",
            f'{{"apiKey":"{auth["api_key"]}","refreshToken":"{token["refreshToken"]}"}}'.encode(),
        )
        assert again.status == 200
        assert again.json()["accessToken"] != token["accessToken"]

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("authenticate", b'{"apiKey":"a","secret":"b"}', 401),
            ("authenticate", b"{}", 401),
            ("authenticate", b'{"apiKey":[],"secret":{}}', 401),
            ("authenticate", b"[]", 400),
            ("authenticate", b"{", 400),
            ("refreshToken", b'{"apiKey":"a","refreshToken":"b"}', 401),
        ],
    )
    def test_bad_credentials_get_the_recorded_answer(self, sandbox, client, path, body, status):
        answer = client.request("POST", f"/auth/{path}", body)

        assert answer.status == status
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.body == b"Invalid request"
