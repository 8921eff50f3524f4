"""An answer that comes while the body still goes out is reported as what the server said."""

from __future__ import annotations

import collections

import pytest

from chartsend import Document, Engine, Retry, TransferError

RUNS = 500


async def refused(sandbox, settings, path, described, then) -> collections.Counter:
    sandbox.fault(
        on="blob", do="status", status=413, when="during", after_bytes=300_000, then=then, times=None
    )
    seen: collections.Counter = collections.Counter()
    async with Engine(settings) as engine:
        document = Document.from_path(path, **described)

        async with engine.send_many(
            (document for _ in range(RUNS)), to=sandbox.info.destination, method="upload"
        ) as receipts:
            async for receipt in receipts:
                assert receipt.error is not None
                seen[receipt.error.code] += 1
    return seen


@pytest.mark.timeout(180)
@pytest.mark.parametrize("then", ["close", "reset", "drain"])
async def test_an_early_413_is_reported_as_413_every_time(
    sandbox, settings_of, make_file, described, then
):
    settings = settings_of(sandbox, retry=Retry(attempts=1), concurrency=4)

    seen = await refused(sandbox, settings, make_file(29_000_000)[0], described, then)

    assert seen == {"payload_rejected": RUNS}
    assert [e for e in sandbox.events() if e["kind"] != "token"] == []


@pytest.mark.timeout(180)
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_an_early_413_over_tls_is_reported_as_413_every_time(
    sandbox_tls, settings_of, make_file, described, then
):
    settings = settings_of(sandbox_tls, retry=Retry(attempts=1), concurrency=4)

    seen = await refused(sandbox_tls, settings, make_file(29_000_000)[0], described, then)

    assert seen == {"payload_rejected": RUNS}


async def test_an_early_success_is_no_success(sandbox, settings_of, make_file, described):
    sandbox.fault(
        on="message", do="status", status=200, when="during", after_bytes=1000, then="drain", times=None
    )
    async with Engine(settings_of(sandbox)) as engine:
        with pytest.raises(TransferError) as caught:
            await engine.send(
                Document.from_path(make_file(5_000_000)[0], **described),
                to=sandbox.info.destination,
                method="embed",
            )

    assert caught.value.code == "outcome_unknown"
    assert caught.value.receipt.status == "in_doubt"
