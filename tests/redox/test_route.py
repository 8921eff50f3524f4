"""Routes: every boundary of size, account, method and destination."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from chartsend.encoding.base64 import encoded_length
from chartsend.encoding.envelope import HOLE, split_at_hole
from chartsend.errors import ConfigError, TooLargeError, TypeMismatchError
from chartsend.redox.fhir import binary
from chartsend.redox.route import (
    MODELS,
    Wish,
    check_model,
    check_request_size,
    choose,
    default_model,
    route_table,
)
from chartsend.settings import Auth, Destination, Limits, Settings

OVERHEAD = 2_000
HERE = Destination(name="memorial", slug="memorial", id="dest-1")
MIB = 1 << 20


def settings(**fields):
    return Settings(**{"environment": "Staging", **fields})


def free(environment="Development"):
    return settings(account="free", environment=environment)


def chosen(size, wish=None, *, to=HERE, given=None, kind="application/pdf", overhead=OVERHEAD):
    return choose(
        wish or Wish(),
        size_bytes=size,
        content_type=kind,
        overhead_bytes=overhead,
        destination=to,
        settings=given or settings(),
    )


# size -> what `auto` does in a paid account, in a free one in Development, and each forced method;
# "+" means with a warning, "!" TooLargeError.
TRUTH = [
    (1, "embed", "embed", "upload", "embed"),
    (199_999, "embed", "embed", "upload", "embed"),
    (200_000, "embed", "embed", "upload", "embed"),
    (200_001, "upload", "embed+", "upload", "embed+"),
    (204_800, "upload", "embed+", "upload", "embed+"),
    (29_998_500, "upload", "embed+", "upload", "embed+"),
    (29_998_501, "upload", "!", "upload", "!"),
    (30_000_000, "upload", "!", "upload", "!"),
    (30_000_001, "!", "!", "!", "!"),
    (31_457_280, "!", "!", "!", "!"),
    (31_457_281, "!", "!", "!", "!"),
]
COLUMNS = [
    (Wish(), settings()),
    (Wish(), free()),
    (Wish(method="upload"), settings()),
    (Wish(method="embed"), settings()),
]


@pytest.mark.parametrize("api", ["fhir", "data-model"])
@pytest.mark.parametrize("row", TRUTH, ids=lambda row: f"{row[0]:,}")
@pytest.mark.parametrize("column", range(4), ids=["auto", "auto-free", "upload", "embed"])
def test_every_size_goes_the_documented_way(api, row, column):
    wish, given = COLUMNS[column]
    wish = Wish(api=api, method=wish.method)
    expected = row[1 + column]

    if expected == "!":
        with pytest.raises(TooLargeError, match=f"{row[0]:,}"):
            chosen(row[0], wish, given=given)
        return
    route = chosen(row[0], wish, given=given)

    assert route.method == expected.rstrip("+")
    assert bool(route.warnings) == expected.endswith("+")
    assert route.requests == (2 if route.method == "upload" else 1)
    assert (route.api, route.model, route.text) == (api, default_model(api), None)


def test_the_wire_size_is_exact_to_the_byte():
    limit = settings().limits.request_bytes
    size = 29_000_000
    overhead = limit - encoded_length(size)

    assert chosen(size, Wish(method="embed"), overhead=overhead).method == "embed"
    with pytest.raises(TooLargeError, match=f"{limit + 1:,}"):
        chosen(size, Wish(method="embed"), overhead=overhead + 1)


def test_a_free_account_uploads_outside_development():
    for environment in ("Staging", "Production"):
        assert chosen(200_001, given=free(environment)).method == "upload"


def test_a_free_account_that_asks_for_an_upload_in_development_is_told_why_not():
    with pytest.raises(TooLargeError, match="free accounts cannot upload in Development"):
        chosen(1, Wish(method="upload"), given=free())


def test_a_file_too_large_for_a_free_account_is_told_both_reasons_with_numbers():
    with pytest.raises(TooLargeError) as caught:
        chosen(30_000_000, given=free())

    assert "free accounts cannot upload in Development" in caught.value.message
    assert "30,000,000" in caught.value.message
    assert f"{40_000_000 + OVERHEAD:,}" in caught.value.message
    assert "40,000,000" in caught.value.message


def test_a_free_account_is_warned_of_size_and_reason_when_a_large_file_is_embedded():
    route = chosen(200_001, given=free())

    assert any("200,001" in warning and "200,000" in warning for warning in route.warnings)
    assert any("free accounts cannot upload" in warning for warning in route.warnings)


@pytest.mark.parametrize(
    ("size", "method"), [(7_498_500, "embed"), (7_498_501, None), (30_000_000, None)]
)
def test_a_destination_with_a_smaller_request_limit_bounds_embedding_only(size, method):
    small = Destination(name="m", slug="m", id="m", request_limit_bytes=10_000_000)

    assert chosen(size, to=small).method == "upload"
    if method is None:
        with pytest.raises(TooLargeError, match="10,000,000"):
            chosen(size, Wish(method="embed"), to=small)
    else:
        assert chosen(size, Wish(method="embed"), to=small).method == method


def test_auto_uploads_even_a_small_file_that_does_not_fit_the_request():
    tiny = Destination(name="m", slug="m", id="m", request_limit_bytes=3_000)

    assert chosen(100_000, to=tiny).method == "upload"


@pytest.mark.parametrize("method", ["auto", "upload", "embed"])
def test_a_destination_with_a_smaller_file_limit_refuses_on_every_route(method):
    modest = Destination(name="m", slug="m", id="m", max_bytes=1_000)

    assert chosen(1_000, Wish(method=method), to=modest)
    with pytest.raises(TooLargeError, match=r"1,001 bytes; this destination takes at most 1,000"):
        chosen(1_001, Wish(method=method), to=modest)


def test_a_destination_cannot_raise_redox_own_limit():
    generous = Destination(name="m", slug="m", id="m", max_bytes=10**9)

    with pytest.raises(TooLargeError, match="Redox takes at most 30,000,000"):
        chosen(30_000_001, to=generous)


def test_the_larger_reading_of_a_megabyte_moves_the_boundary():
    wide = settings(limits=Limits(megabyte_bytes=MIB))

    assert chosen(30 * MIB, given=wide).method == "upload"
    with pytest.raises(TooLargeError, match="31,457,281"):
        chosen(30 * MIB + 1, given=wide)


@pytest.mark.parametrize(
    ("up_to", "size", "method"), [(0, 1, "upload"), (10, 10, "embed"), (10, 11, "upload")]
)
def test_the_embed_threshold_is_a_setting(up_to, size, method):
    given = settings(limits=Limits(embed_up_to_bytes=up_to))

    route = chosen(size, given=given)

    assert route.method == method
    assert not route.warnings


@pytest.mark.parametrize("threshold", [500_000, 1_000_000])
def test_a_raised_threshold_embeds_with_redox_own_advice(threshold):
    route = chosen(500_000, given=settings(limits=Limits(embed_up_to_bytes=threshold)))

    assert route.method == "embed"
    assert any("200,000" in warning for warning in route.warnings)


def test_a_binary_in_fhir_json_must_fit_the_request_limit_too():
    given = settings(binary_body="fhir_json")
    overhead = split_at_hole(binary("application/pdf", HOLE)).length_bytes
    largest = (40_000_000 - overhead) // 4 * 3

    assert chosen(largest, given=given).method == "upload"
    with pytest.raises(TooLargeError, match='binary_body = "raw"'):
        chosen(largest + 1, Wish(method="upload"), given=given)
    assert chosen(30_000_000, Wish(api="data-model"), given=given).method == "upload"


def test_a_binary_in_fhir_json_may_fill_the_request_limit_to_the_last_byte():
    given = settings(binary_body="fhir_json")
    kinds = [f"application/x-{'a' * n}" for n in range(1, 5)]
    overheads = {split_at_hole(binary(kind, HOLE)).length_bytes: kind for kind in kinds}
    overhead = next(length for length in overheads if length % 4 == 0)
    size = (40_000_000 - overhead) // 4 * 3

    route = chosen(size, Wish(method="upload"), given=given, kind=overheads[overhead])

    assert overhead + encoded_length(size) == 40_000_000
    assert route.method == "upload"


def test_auto_embeds_with_a_warning_when_only_the_fhir_json_upload_does_not_fit():
    given = settings(binary_body="fhir_json", limits=Limits(file_mb=40, request_mb=40))
    overhead = split_at_hole(binary("application/pdf", HOLE)).length_bytes
    largest = (40_000_000 - overhead) // 4 * 3

    route = chosen(largest + 3, given=given, overhead=0)

    assert route.method == "embed"
    assert any("FHIR JSON" in warning for warning in route.warnings)


@given(
    size=st.integers(0, 40_000_000),
    overhead=st.integers(0, 50_000),
    limit=st.integers(1, 50_000_000) | st.none(),
    largest=st.integers(1, 40_000_000) | st.none(),
    method=st.sampled_from(["auto", "upload", "embed"]),
    account=st.sampled_from(["paid", "free"]),
    environment=st.sampled_from(["Development", "Staging", "Production"]),
)
def test_a_chosen_route_always_fits_and_a_refused_one_never_would(
    size, overhead, limit, largest, method, account, environment
):
    to = Destination(name="m", slug="m", request_limit_bytes=limit, max_bytes=largest)
    given = Settings(environment=environment, account=account)
    fits_file = size <= min(30_000_000, largest or 30_000_000)
    may_upload = fits_file and not (account == "free" and environment == "Development")
    may_embed = fits_file and overhead + encoded_length(size) <= (limit or 40_000_000)
    open_ways = {"upload": may_upload, "embed": may_embed}

    try:
        route = chosen(size, Wish(method=method), to=to, given=given, overhead=overhead)
    except TooLargeError:
        assert not any(open_ways.values()) if method == "auto" else not open_ways[method]
    else:
        assert open_ways[route.method]
        assert method in {"auto", route.method}


def test_default_models():
    assert default_model("fhir") == "document-reference"
    assert default_model("data-model") == "notes"


@pytest.mark.parametrize("api", ["fhir", "data-model"])
@pytest.mark.parametrize(
    "model", ["document-reference", "diagnostic-report", "notes", "media", "results"]
)
def test_an_api_takes_its_own_models_only(api, model):
    if model in MODELS[api]:
        check_model(api, model)
        assert chosen(10, Wish(api=api, model=model)).model == model
        return
    with pytest.raises(ConfigError, match=" or ".join(MODELS[api])):
        check_model(api, model)
    with pytest.raises(ConfigError):
        chosen(10, Wish(api=api, model=model))


def test_there_is_no_default_environment():
    with pytest.raises(ConfigError, match="--environment"):
        chosen(10, given=Settings())


def test_fhir_needs_a_slug_and_data_model_an_id():
    with pytest.raises(ConfigError, match=r"slug in \[destinations.m\]"):
        chosen(10, to=Destination(name="m", id="m"))
    with pytest.raises(ConfigError, match="set id"):
        chosen(10, Wish(api="data-model"), to=Destination(name="m", slug="m"))


def test_the_upload_slug_is_no_destination():
    with pytest.raises(ConfigError, match="uploads"):
        chosen(10, to=Destination(name="m", slug="redox"))


def test_a_legacy_key_works_with_data_model_only():
    given = settings(auth=Auth(kind="legacy"))

    assert chosen(10, Wish(api="data-model"), given=given).api == "data-model"
    with pytest.raises(ConfigError, match="data-model"):
        chosen(10, given=given)


@pytest.mark.parametrize(
    ("patterns", "kind", "taken"),
    [
        ((), "application/pdf", True),
        (("application/pdf",), "application/pdf", True),
        (("application/pdf",), "APPLICATION/PDF; version=1.7", True),
        (("application/pdf",), "image/png", False),
        (("image/*",), "image/png", True),
        (("image/*",), "application/pdf", False),
        (("IMAGE/*", "application/pdf"), "image/jpeg", True),
        (("audio/wav",), "audio/x-wav", True),
        (("text/xml",), "application/xml", True),
        (("*/*",), "application/x-anything", True),
        (("image/p*",), "image/png", False),
    ],
)
def test_a_destination_takes_the_types_it_lists(patterns, kind, taken):
    to = Destination(name="m", slug="m", content_types=patterns)

    if taken:
        assert chosen(10, to=to, kind=kind)
    else:
        with pytest.raises(TypeMismatchError, match="does not take"):
            chosen(10, to=to, kind=kind)


def test_request_sizes_are_checked_against_the_smaller_of_both_limits():
    small = Destination(name="m", request_limit_bytes=10)

    check_request_size(10, destination=small, settings=settings())
    check_request_size(40_000_000, destination=HERE, settings=settings())
    with pytest.raises(TooLargeError, match=r"11 bytes and the limit is 10"):
        check_request_size(11, destination=small, settings=settings())
    with pytest.raises(TooLargeError, match="40,000,001"):
        check_request_size(40_000_001, destination=HERE, settings=settings())


def test_the_table_for_the_documentation_is_made_of_real_choices():
    lines = route_table().splitlines()

    assert all(line.count("|") == 8 for line in lines)
    sizes = [int(line.split("|")[1].replace(",", "")) for line in lines[2:]]
    assert sizes == [1, 200_000, 200_001, 7_498_500, 7_498_501, 29_998_500, 29_998_501, 30_000_001]
    assert lines[5].count("TooLargeError") == 0
    assert lines[6].endswith("| embed, with a warning | `TooLargeError` |")
    assert lines[7].count("TooLargeError") == 1
    assert lines[8].count("TooLargeError") == 3
    assert lines[3].startswith("| 200,000 | embed | embed |")
    assert lines[4].startswith("| 200,001 | upload | embed, with a warning | upload |")
    assert lines[-1].count("TooLargeError") == 6
