"""`chartsend key new`: a private file, a public JWK set, and nothing lost."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner, Result

from chartsend.auth.keys import read_private_key
from chartsend.cli.key import key
from chartsend.settings import Auth


def run(*arguments: str) -> Result:
    return CliRunner().invoke(key, ["new", *arguments])


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_what_the_private_key_signs_the_printed_key_verifies(algorithm, tmp_path):
    path = tmp_path / "key.pem"

    result = run("--algorithm", algorithm, "--out", str(path))

    assert result.exit_code == 0
    [public] = jwt.PyJWKSet.from_dict(json.loads(result.stdout)).keys
    private = read_private_key(Auth(algorithm=algorithm, key_file=str(path)))
    signed = jwt.encode({"a": 1}, private, algorithm=algorithm)
    assert jwt.decode(signed, public, algorithms=[algorithm]) == {"a": 1}


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_only_the_public_half_is_printed(algorithm, tmp_path):
    path = tmp_path / "key.pem"

    result = run("--algorithm", algorithm, "--out", str(path))

    [jwk] = json.loads(result.stdout)["keys"]
    members = {"kty", "kid", "use", "alg"} | ({"n", "e"} if algorithm == "RS384" else {"crv", "x", "y"})
    assert set(jwk) == members
    assert (jwk["use"], jwk["alg"]) == ("sig", algorithm)
    assert "PRIVATE" not in result.output


def test_an_rsa_key_is_the_default_and_has_3072_bits(tmp_path):
    path = tmp_path / "key.pem"

    assert run("--out", str(path)).exit_code == 0

    assert read_private_key(Auth(algorithm="RS384", key_file=str(path))).key_size == 3072


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_the_private_key_is_readable_by_its_owner_only(umask, tmp_path):
    path = tmp_path / "key.pem"

    before = os.umask(umask)
    try:
        result = run("--algorithm", "ES384", "--out", str(path))
    finally:
        os.umask(before)

    assert result.exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_there_is_never_overwritten(tmp_path):
    path = tmp_path / "key.pem"
    path.write_text("mine")

    result = run("--algorithm", "ES384", "--out", str(path))

    assert result.exit_code == 2
    assert "exists" in result.stderr
    assert result.stdout == ""
    assert path.read_text() == "mine"


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")

    result = run("--algorithm", "ES384", "--out", str(tmp_path / "link"))

    assert result.exit_code == 2
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("out", ["no-folder/key.pem", "."])
def test_a_place_where_no_file_can_be(out, tmp_path):
    result = run("--algorithm", "ES384", "--out", str(tmp_path / out))

    assert result.exit_code == 2
    assert result.stdout == ""


@pytest.mark.parametrize("key_id", ["", "a b", "é", "a\nb", "x" * 129])
def test_a_key_id_that_cannot_stand_in_a_header(key_id, tmp_path):
    path = tmp_path / "key.pem"

    assert run("--algorithm", "ES384", "--out", str(path), "--key-id", key_id).exit_code == 2
    assert not path.exists()


def test_an_unknown_algorithm(tmp_path):
    assert run("--algorithm", "HS384", "--out", str(tmp_path / "key.pem")).exit_code == 2


def test_the_key_id_may_be_chosen(tmp_path):
    result = run("--algorithm", "ES384", "--out", str(tmp_path / "k"), "--key-id", 'my"key\\1')

    assert json.loads(result.stdout)["keys"][0]["kid"] == 'my"key\\1'


def test_the_usual_key_id_is_the_thumbprint(tmp_path):
    """RFC 7638 section 3.1, with its own example key."""
    from chartsend.cli.key import _thumbprint

    example = {
        "kty": "RSA",
        "n": (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPe"
            "bWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY36"
            "8QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4l"
            "Fd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
        ),
        "e": "AQAB",
    }
    assert _thumbprint(example) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

    result = run("--algorithm", "ES384", "--out", str(tmp_path / "key.pem"))
    [jwk] = json.loads(result.stdout)["keys"]
    assert jwk["kid"] == _thumbprint({name: jwk[name] for name in ("kty", "crv", "x", "y")})


def test_the_lines_for_the_profile_are_toml_that_works(tmp_path):
    path = tmp_path / 'my "key".pem'

    result = run("--algorithm", "ES384", "--out", str(path), "--key-id", 'k"1')

    start = result.stderr.index("[auth]")
    profile = tomllib.loads(result.stderr[start : result.stderr.index("3. Check")])
    assert profile["auth"].pop("client_id")
    assert profile == {
        "auth": {"key_id": 'k"1', "algorithm": "ES384", "key_file": str(path)},
    }


def test_as_a_command_stdout_is_the_jwk_set_and_nothing_else(tmp_path):
    path = tmp_path / "key.pem"
    code = "from chartsend.cli.key import key; key()"

    done = subprocess.run(
        [sys.executable, "-c", code, "new", "--algorithm", "ES384", "--out", path],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert list(json.loads(done.stdout)) == ["keys"]
    assert str(Path(path)) in done.stderr
