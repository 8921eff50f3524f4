"""Profiles, variables and arguments: what wins, what is refused, and what an error may say."""

import pytest

from chartsend.errors import ConfigError, InsecureConfigError
from chartsend.settings import Auth, Destination, Settings
from chartsend.settings.load import load_settings

STAGING = """
[staging]
environment = "Staging"
source_id = "source-1"
buffer_bytes = "32MiB"
ca_file = "ca.pem"

[staging.auth]
client_id = "client-1"
key_file = "keys/key.pem"

[staging.timeouts]
read_s = "10s"

[staging.destinations.memorial-ehr]
slug = "memorial"
max_bytes = "10MB"
identifier_systems = { MR = "urn:example:mr" }

[staging.document]
type = "Consent Form"
patient = { sex = "Female" }
"""


def refused(*arguments, **overrides):
    with pytest.raises(ConfigError) as caught:
        load_settings(*arguments, overrides)
    return caught.value.message


def test_without_anything_the_defaults_hold():
    loaded = load_settings(None, {})

    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.document == {}


def test_a_profile_is_a_table_of_the_config_file(config):
    file = config(STAGING)

    loaded = load_settings("staging", {})

    assert loaded.settings.environment == "Staging"
    assert loaded.settings.auth.client_id == "client-1"
    assert loaded.settings.buffer_bytes == 32 * 1024 * 1024
    assert loaded.settings.timeouts.read_s == 10.0
    destination = loaded.settings.destinations["memorial-ehr"]
    assert (destination.name, destination.slug, destination.max_bytes) == (
        "memorial-ehr",
        "memorial",
        10_000_000,
    )
    assert loaded.document == {"type": "Consent Form", "patient": {"sex": "Female"}}
    assert (loaded.profile, loaded.file) == ("staging", file)


def test_a_profile_can_be_a_file_of_its_own(tmp_path):
    file = tmp_path / "ward.toml"
    file.write_text('environment = "Development"\n[document]\ntype = "Note"\n')

    loaded = load_settings(str(file), {})

    assert loaded.settings.environment == "Development"
    assert loaded.document == {"type": "Note"}
    assert loaded.origins["environment"] == f"profile {file}"


def test_paths_are_relative_to_the_profiles_file(config):
    folder = config(STAGING).parent

    settings = load_settings("staging", {}).settings

    assert settings.auth.key_file == str(folder / "keys/key.pem")
    assert settings.ca_file == str(folder / "ca.pem")


def test_a_path_of_the_environment_stays_as_it_is(config, monkeypatch):
    config(STAGING)
    monkeypatch.setenv("CHARTSEND_AUTH_KEY_FILE", "here/key.pem")

    assert load_settings("staging", {}).settings.auth.key_file == "here/key.pem"


def test_a_tilde_in_a_path_is_the_home_folder(home, config):
    config('[a.auth]\nkey_file = "~/key.pem"\n')

    assert load_settings("a", {}).settings.auth.key_file == str(home / "home" / "key.pem")


def test_the_environment_wins_over_the_profile_and_arguments_over_both(config, monkeypatch):
    file = config('[a]\nsource_id = "p"\nconcurrency = 2\naccount = "free"\n')
    monkeypatch.setenv("CHARTSEND_SOURCE_ID", "e")
    monkeypatch.setenv("CHARTSEND_CONCURRENCY", "3")

    loaded = load_settings("a", {"concurrency": 4})

    assert (loaded.settings.account, loaded.settings.source_id) == ("free", "e")
    assert loaded.settings.concurrency == 4
    assert loaded.origins["account"] == f"profile a in {file}"
    assert loaded.origins["source_id"] == "environment CHARTSEND_SOURCE_ID"
    assert loaded.origins["concurrency"] == "argument"
    assert loaded.origins["region"] == "default"


def test_a_nested_argument_changes_only_the_fields_it_names(config):
    config("[a.limits]\nfile_mb = 7\n")

    limits = load_settings("a", {"limits": {"embed_up_to_bytes": 5}}).settings.limits

    assert (limits.file_mb, limits.embed_up_to_bytes) == (7, 5)


def test_a_whole_object_as_an_argument_replaces_the_table():
    settings = Settings.load(auth=Auth(client_id="c", key_id="k"))

    assert (settings.auth.client_id, settings.auth.key_id) == ("c", "k")


def test_destinations_of_arguments_join_those_of_the_profile(config):
    config(STAGING)

    loaded = load_settings(
        "staging",
        {"destinations": {"other": Destination(slug="o"), "memorial-ehr": {"max_bytes": 5}}},
    )

    destinations = loaded.settings.destinations
    assert destinations["other"].slug == "o"
    assert (destinations["memorial-ehr"].slug, destinations["memorial-ehr"].max_bytes) == ("memorial", 5)
    assert loaded.origins["destinations.memorial-ehr.max_bytes"] == "argument"


def test_the_profile_can_be_named_by_a_variable(config, monkeypatch):
    config(STAGING)
    monkeypatch.setenv("CHARTSEND_PROFILE", "staging")

    assert load_settings(None, {}).settings.environment == "Staging"
    assert load_settings(None, {}, use_environment=False).settings.environment is None


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("CHARTSEND_HASH", "no", lambda s: s.hash is False),
        ("CHARTSEND_TRUST_TOKEN_HOST", "TRUE", lambda s: s.trust_token_host is True),
        ("CHARTSEND_LIMITS_EMBED_UP_TO_BYTES", "1KiB", lambda s: s.limits.embed_up_to_bytes == 1024),
        ("CHARTSEND_TIMEOUTS_REPLY_S", "2m", lambda s: s.timeouts.reply_s == 120.0),
        ("CHARTSEND_AUTH_CLIENT_ID", "12345", lambda s: s.auth.client_id == "12345"),
        (
            "CHARTSEND_ALLOWED_REFERENCE_HOSTS",
            "a.example:443, b.example",
            lambda s: s.allowed_reference_hosts == ("a.example:443", "b.example"),
        ),
        ("CHARTSEND_ENVIRONMENT", "", lambda s: s.environment is None),
    ],
)
def test_variables_are_read_by_the_type_of_their_field(monkeypatch, name, text, value):
    monkeypatch.setenv(name, text)

    assert value(load_settings(None, {}).settings)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CHARTSEND_CONCURRENCY", "many"),
        ("CHARTSEND_CONCURRENCY", "1.5"),
        ("CHARTSEND_HASH", "perhaps"),
        ("CHARTSEND_ENVIRONMENT", "production"),
        ("CHARTSEND_TIMEOUTS_READ_S", "30MB"),
        ("CHARTSEND_TIMEOUTS_READ_S", "nan"),
        ("CHARTSEND_BUFFER_BYTES", "64M"),
    ],
)
def test_a_wrong_variable_is_named_and_its_value_is_not_shown(monkeypatch, name, text):
    monkeypatch.setenv(name, text)

    message = refused(None)

    assert name in message
    assert f" {text}" not in message.replace(name, "")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CHARTSEND_CONCURENCY", "CHARTSEND_CONCURRENCY"),
        ("CHARTSEND_CLIENT_ID", "CHARTSEND_AUTH_CLIENT_ID"),
        ("CHARTSEND_SOURCEID", "CHARTSEND_SOURCE_ID"),
        ("CHARTSEND_PROFIL", "CHARTSEND_PROFILE"),
    ],
)
def test_a_variable_that_is_nearly_ours_is_refused(monkeypatch, name, meant):
    monkeypatch.setenv(name, "1")

    assert f"{name}; did you mean {meant}?" in refused(None)


def test_variables_that_others_set_are_left_alone(monkeypatch):
    monkeypatch.setenv("CHARTSEND_SERVICE_HOST", "10.0.0.1")  # Kubernetes, for a service of the name
    monkeypatch.setenv("CHARTSEND_PORT", "tcp://10.0.0.1:80")

    assert load_settings(None, {}).settings == Settings()


def test_the_variable_that_holds_the_key_may_have_any_name(monkeypatch):
    monkeypatch.setenv("CHARTSEND_KEY_ID2", "-----BEGIN")
    monkeypatch.setenv("CHARTSEND_AUTH_KEY_ENV", "CHARTSEND_KEY_ID2")

    assert load_settings(None, {}).settings.auth.key_env == "CHARTSEND_KEY_ID2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('enviroment = "x"', "unknown key `enviroment`; did you mean `environment`?"),
        ('source-id = "x"', "unknown key `source-id`; did you mean `source_id`?"),
        ('client_id = "x"', "unknown key `client_id`; did you mean `auth.client_id`?"),
        ('[a.auth]\nsecret = "hunter2"', "unknown key `auth.secret`; did you mean `auth.secret_"),
        ('[a.destinations.x]\nslugg = "x"', "did you mean `destinations.x.slug`?"),
        ('[a.destinations.x]\nname = "x"', "unknown key `destinations.x.name`"),
        ("auth = 1", "`auth` is a table"),
        ("destinations = 1", "[destinations.NAME]"),
        ("destinations.x = 1", "`destinations.x` is a table"),
        ("document = 1", "`document` is a table"),
        ('[a.document]\ntipe = "x"', "unknown key `tipe`; did you mean `type`?"),
        ('[a.document]\ndocument_id = "x"', "`document.document_id` names one document"),
        ('[a.document]\npath = "x"', "`document.path` names one document"),
        ('[a.document.patient]\nbirth_date = "soon"', "`patient.birth_date`"),
    ],
)
def test_a_wrong_key_is_refused_with_a_suggestion(config, text, said):
    file = config(f"[a]\n{text}\n")

    message = refused("a")

    assert said in message
    assert str(file) in message
    assert "hunter2" not in message


def test_all_wrong_keys_are_named_at_once(config):
    config('[a]\nx1 = 1\nx2 = 2\n[a.auth]\nx3 = "x"\n')

    message = refused("a")

    assert all(f"`{key}`" in message for key in ("x1", "x2", "auth.x3"))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("concurrency = 1.5", "concurrency"),
        ('concurrency = "16"', "concurrency"),
        ("concurrency = true", "concurrency"),
        ("concurrency = 0", "concurrency"),
        ("source_id = 5", "source_id"),
        ('environment = "Prod"', "environment"),
        ('hash = "yes"', "hash"),
        ('allowed_reference_hosts = "a"', "allowed_reference_hosts"),
        ("timeouts.read_s = nan", "timeouts.read_s"),
        ("timeouts.read_s = inf", "timeouts.read_s"),
        ("timeouts.read_s = 0", "timeouts.read_s"),
        ("buffer_bytes = 1", "buffer_bytes"),
        ('api_url = "http://api.example"', "api_url"),
        ('api_url = "https://user:pw@api.example"', "api_url"),
        ('api_url = "https://api.example/x"', "api_url"),
        ('quota = "many"', "quota"),
        ('proxy = "socks5://127.0.0.1:1"', "proxy"),
        ('proxy = "http://proxy.example:3128/x"', "proxy"),
        ('proxy = "http://proxy.example:99999"', "proxy"),
        ('proxy = "proxy.example:3128"', "proxy"),
    ],
)
def test_a_wrong_value_names_its_key_and_its_place(config, text, key):
    file = config(f"[a]\n{text}\n")

    message = refused("a")

    assert message.startswith(key)
    assert str(file) in message
    assert "pw" not in message


def test_a_proxy_with_a_password_is_insecure(config):
    config('[a]\nproxy = "http://me:pw@proxy.example:3128"\n')

    with pytest.raises(InsecureConfigError) as caught:
        load_settings("a", {})

    assert "pw" not in caught.value.message


def test_a_proxy_is_a_host_and_a_port(config):
    config('[a]\nproxy = "http://proxy.example:3128"\n')

    assert load_settings("a", {}).settings.proxy == "http://proxy.example:3128"


def test_an_insecure_value_keeps_its_class(config):
    config('[a]\napi_url = "http://api.example"\n')

    with pytest.raises(InsecureConfigError):
        load_settings("a", {})


def test_a_wrong_destination_names_itself_and_its_place(config):
    file = config('[a.destinations.x]\nslug = "../up"\n')

    message = refused("a")

    assert message.startswith("destinations.x: ")
    assert str(file) in message


def test_an_unknown_profile_suggests_the_nearest(config):
    config(STAGING)

    assert "did you mean `staging`?" in refused("stagin")
    assert "it has staging" in refused("zzz")


def test_settings_outside_any_profile_are_explained(config):
    config('environment = "Staging"\n')

    assert "put its settings under [staging]" in refused("staging")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"a = ", "not valid TOML"), (b'a = "\xff"', "not UTF-8"), (None, "there is no file")],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path, content, said):
    file = tmp_path / "p.toml"
    if content is not None:
        file.write_bytes(content)

    message = refused(str(file))

    assert said in message
    assert str(file) in message


def test_a_folder_is_no_profile(tmp_path):
    assert "not a regular file" in refused(f"{tmp_path}/")


def test_a_profile_that_everybody_can_write_is_refused(config):
    config(STAGING).chmod(0o646)

    with pytest.raises(InsecureConfigError, match="chmod o-w"):
        load_settings("staging", {})


def test_without_a_home_there_is_a_clear_error(monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative/is/ignored")

    assert "there is no file" in refused("staging")


def test_wrong_arguments_are_refused_like_keys():
    assert "did you mean `concurrency`?" in refused(None, concurency=3)
    assert refused(None, concurrency="x").startswith("concurrency (argument)")


def test_a_private_profile_stands_alone(config, monkeypatch):
    config(STAGING)
    monkeypatch.setenv("CHARTSEND_API_URL", "https://api.redoxengine.com")

    loaded = load_settings("staging", {}, use_environment=False)

    assert loaded.settings.api_url is None
