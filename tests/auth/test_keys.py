"""Keys and secrets from real files, links, modes, variables and commands."""

from __future__ import annotations

import logging
import os
import pickle
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from chartsend.auth.keys import (
    Secret,
    load_private_key,
    load_secret,
    read_private_file,
    read_private_key,
    read_secret,
)
from chartsend.errors import ConfigError, InsecureConfigError
from chartsend.settings import Auth

CANARY = "canary-5f2b"


def auth(algorithm: str = "ES384", **more: str) -> Auth:
    return Auth(client_id="c", key_id="k", algorithm=algorithm, **more)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def pem(ec_key, to_pem) -> bytes:
    return to_pem(ec_key)


# Files.


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440, 0o700])
async def test_a_key_file_that_only_its_owner_may_change_is_taken(mode, pem, write_key, lane):
    path = write_key(pem, mode=mode)

    key = await load_private_key(auth(key_file=str(path)), lane=lane)

    assert isinstance(key, ec.EllipticCurvePrivateKey)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601, 0o620, 0o660, 0o610, 0o666, 0o777])
def test_a_key_file_that_others_may_use_is_refused(mode, pem, write_key):
    path = write_key(pem, mode=mode)

    with pytest.raises(InsecureConfigError, match=rf"auth\.key_file.*{mode:04o}"):
        read_private_key(auth(key_file=str(path)))


def test_a_link_is_followed_and_its_target_counts(pem, write_key, tmp_path):
    good, bad = write_key(pem, name="good"), write_key(pem, name="bad", mode=0o644)
    (tmp_path / "to-good").symlink_to(good)
    (tmp_path / "to-bad").symlink_to(bad)
    (tmp_path / "chain").symlink_to("to-good")

    assert read_private_key(auth(key_file=str(tmp_path / "to-good")))
    assert read_private_key(auth(key_file=str(tmp_path / "chain")))
    with pytest.raises(InsecureConfigError):
        read_private_key(auth(key_file=str(tmp_path / "to-bad")))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize(("owner", "is_taken"), [(0, True), (12345, False)])
def test_the_owner_is_this_user_or_root(owner, is_taken, pem, write_key):
    path = write_key(pem)
    os.chown(path, owner, -1)

    if is_taken:
        assert read_private_key(auth(key_file=str(path)))
    else:
        with pytest.raises(InsecureConfigError, match="another user"):
            read_private_key(auth(key_file=str(path)))


def test_the_home_folder_may_be_written_as_a_tilde(pem, write_key, tmp_path, monkeypatch):
    write_key(pem, name="mine.pem")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert read_private_key(auth(key_file="~/mine.pem"))


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"auth\.key_file: there is no such file"):
        read_private_key(auth(key_file=str(tmp_path / CANARY)))


def test_a_dangling_link_and_a_loop(tmp_path):
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to("loop")

    for name in ("dangling", "loop"):
        with pytest.raises(ConfigError, match=r"auth\.key_file"):
            read_private_key(auth(key_file=str(tmp_path / name)))


def test_folders_fifos_and_devices_are_no_files_and_do_not_block(tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)

    for path in (tmp_path, tmp_path / "fifo", Path("/dev/null"), Path("/dev/zero")):
        with pytest.raises(ConfigError, match="not a regular file"):
            read_private_key(auth(key_file=str(path)))


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "~no-such-user-5f2b/key"])
def test_impossible_paths(path):
    with pytest.raises(ConfigError, match=r"auth\.key_file"):
        read_private_key(auth(key_file=path))


def test_a_file_too_large_for_a_key(write_key):
    path = write_key(b"x" * 65_537)

    with pytest.raises(ConfigError, match="65536 bytes"):
        read_private_file(str(path), setting="auth.key_file")


def test_no_descriptor_is_left_open(pem, write_key):
    good, bad = write_key(pem, name="good"), write_key(pem, name="bad", mode=0o644)
    before = open_descriptors()

    for _ in range(5):
        read_private_key(auth(key_file=str(good)))
        with pytest.raises(InsecureConfigError):
            read_private_key(auth(key_file=str(bad)))

    assert open_descriptors() == before


# What is in it.


def test_an_rsa_key_for_rs384(rsa_key, to_pem, write_key):
    path = write_key(to_pem(rsa_key))

    assert isinstance(read_private_key(auth("RS384", key_file=str(path))), rsa.RSAPrivateKey)


def test_other_pem_forms_of_the_same_key(rsa_key, ec_key, write_key):
    for key, algorithm in ((rsa_key, "RS384"), (ec_key, "ES384")):
        traditional = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )

        assert read_private_key(auth(algorithm, key_file=str(write_key(traditional))))


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_an_encrypted_key(algorithm, ec_key, to_pem, write_key):
    path = write_key(to_pem(ec_key, b"password"))

    with pytest.raises(ConfigError, match="encrypted"):
        read_private_key(auth(algorithm, key_file=str(path)))


@pytest.mark.parametrize(
    "content",
    [b"", CANARY.encode(), b"-----BEGIN PRIVATE KEY-----\n", b"\x00" * 100, b"\xff\xfe",
     b"-----BEGIN PRIVATE KEY-----\n" + CANARY.encode() + b"\n-----END PRIVATE KEY-----\n"],
)  # fmt: skip
def test_garbage_is_named_and_not_repeated(content, write_key):
    with pytest.raises(ConfigError) as caught:
        read_private_key(auth(key_file=str(write_key(content))))

    assert "auth.key_file" in str(caught.value)
    assert CANARY not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.__suppress_context__


def test_a_public_key_is_no_private_key(ec_key, write_key):
    public = ec_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    with pytest.raises(ConfigError, match="no private key"):
        read_private_key(auth(key_file=str(write_key(public))))


def test_the_kind_of_key_must_fit_the_algorithm(rsa_key, ec_key, to_pem, write_key):
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    p256 = ec.generate_private_key(ec.SECP256R1())
    edwards = ed25519.Ed25519PrivateKey.generate()

    for key, algorithm, said in (
        (rsa_key, "ES384", "P-384"),
        (ec_key, "RS384", "an RSA key"),
        (p256, "ES384", "P-384"),
        (edwards, "ES384", "P-384"),
        (edwards, "RS384", "an RSA key"),
        (small, "RS384", "1024 bits"),
    ):
        with pytest.raises(ConfigError, match=said):
            read_private_key(auth(algorithm, key_file=str(write_key(to_pem(key)))))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "is missing: set one of"),
        ({"key_file": "a", "key_env": "b"}, "both set"),
        ({"key_file": "a", "key_command": "b"}, "both set"),
    ],
)
def test_exactly_one_place_is_named(settings, said):
    with pytest.raises(ConfigError, match=said):
        read_private_key(auth(**settings))


# Environment variables.


async def test_a_key_from_a_variable_comes_with_one_warning(pem, monkeypatch, lane, caplog):
    monkeypatch.setenv("MY_KEY", pem.decode())

    assert await load_private_key(auth(key_env="MY_KEY"), lane=lane)

    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "auth.key_env" in record.getMessage()
    assert "PRIVATE KEY" not in caplog.text


def test_a_key_squeezed_into_one_line(pem, monkeypatch):
    monkeypatch.setenv("MY_KEY", pem.decode().replace("\n", "\\n"))

    assert read_private_key(auth(key_env="MY_KEY"))


def test_a_variable_that_is_not_set(monkeypatch):
    monkeypatch.delenv(CANARY, raising=False)

    with pytest.raises(ConfigError, match=r"auth\.key_env") as caught:
        read_private_key(auth(key_env=CANARY))

    assert CANARY not in str(caught.value)


def test_the_key_itself_in_place_of_the_variables_name_is_not_repeated(pem):
    with pytest.raises(ConfigError) as caught:
        read_private_key(auth(key_env=pem.decode()))

    assert "PRIVATE" not in str(caught.value)


# Commands.


def python(code: str) -> str:
    return f"{sys.executable} -c '{code}'"


async def test_a_key_from_a_command(pem, write_key, lane):
    path = write_key(pem, name="a key.pem")

    assert await load_private_key(auth(key_command=f"cat '{path}'"), lane=lane)


def test_there_is_no_shell(pem, write_key, tmp_path):
    path = write_key(pem)
    mark = tmp_path / "mark"

    with pytest.raises(ConfigError, match="code 1"):
        read_private_key(auth(key_command=f"cat {path} ; touch {mark}"))

    assert not mark.exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("false", "code 1"),
        ("no-such-command-5f2b", "cannot be started"),
        ("cat 'unbalanced", "quotes"),
        ("  ", "empty"),
        ("/dev/null", "cannot be started"),
        ("true", "no private key"),
        ("yes", "65536 bytes"),
        ("cat a\0b", "cannot be started"),
    ],
)
def test_commands_that_give_no_key(command, said):
    with pytest.raises(ConfigError, match=said) as caught:
        read_private_key(auth(key_command=command))

    assert "auth.key_command" in str(caught.value)
    assert "5f2b" not in str(caught.value)


def test_what_a_command_prints_is_in_no_error_and_no_log(capfd, caplog):
    code = f'import sys; print("{CANARY}"); print("{CANARY}", file=sys.stderr); sys.exit(3)'

    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigError, match="code 3") as caught:
        read_private_key(auth(key_command=python(code)))

    out, err = capfd.readouterr()
    assert CANARY not in f"{caught.value!r}{caplog.text}{out}{err}"


# Legacy secrets.


async def test_a_secret_from_a_file_loses_only_its_line_end(write_key, lane):
    path = write_key(b" s3cret \r\n")

    secret = await load_secret(Auth(secret_file=str(path)), lane=lane)

    assert secret.reveal() == b" s3cret "


def test_a_secret_from_a_variable(monkeypatch, caplog):
    monkeypatch.setenv("MY_SECRET", "s3cret")

    assert read_secret(Auth(secret_env="MY_SECRET")).reveal() == b"s3cret"
    assert "auth.secret_env" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\n"])
def test_a_secret_that_is_none(content, write_key):
    with pytest.raises(ConfigError, match=r"auth\.secret_file"):
        read_secret(Auth(secret_file=str(write_key(content))))


def test_a_secret_file_that_others_may_read(write_key):
    with pytest.raises(InsecureConfigError, match=r"auth\.secret_file"):
        read_secret(Auth(secret_file=str(write_key(b"x", mode=0o644))))


def test_a_secret_shows_itself_nowhere():
    secret = Secret(CANARY.encode())

    assert CANARY not in f"{secret} {secret!r} {[secret]} {vars(type(secret))}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
