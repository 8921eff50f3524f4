"""The look of the log page. Every value goes through `escape`; there is no script and no other host."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .json_tree import JsonValue
    from .records import Delivery, Message, Upload

SHOWN_CHARACTERS: Final = 160
"""Longer strings of a payload are cut, so that an embedded file does not hide the message."""

STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --quiet: #777; --good: #17803d; --bad: #c0262d; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 1.5rem; font: 14px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
.quiet { color: var(--quiet); } a { color: #2563eb; } nav { margin: 1rem 0; }
@media (prefers-color-scheme: dark) { a { color: #8ab4ff; } }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .55rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
thead th { font-weight: 600; white-space: nowrap; } tbody th { font-weight: 400; width: 12rem;
  color: var(--quiet); }
td.number { text-align: right; } thead + tbody td { white-space: nowrap; }
code, pre { font: 12px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; padding: 1rem; border: 1px solid var(--line); border-radius: 6px; }
.SUCCEEDED { color: var(--good); } .FAILED { color: var(--bad); } .status { font-weight: 600; }
table + .button { margin-top: .8rem; }
.button { display: inline-block; padding: .35rem .9rem; border: 1px solid; border-radius: 6px;
  text-decoration: none; }
"""


def document(title: str, body: str) -> str:
    """Wrap a page's content, which is HTML already."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>"
        '<link rel="stylesheet" href="/_sandbox/log/style.css"></head>'
        f"<body>{body}</body></html>"
    )


def overview(
    messages: Sequence[Message],
    uploads: Sequence[Upload],
    *,
    total: int,
    older: int | None,
) -> str:
    """Give the list of messages, newest first, and the uploads that none of them refers to."""
    rows = "".join(_message_row(message, d) for message in messages for d in message.deliveries)
    if not rows:
        rows = '<tr><td colspan="8" class="quiet">Nothing was received yet.</td></tr>'
    heads = ("Status", "Received (UTC)", "Data model", "Event type", "Destination", "File", "Size")
    following = "" if older is None else f'<nav><a href="?before={older}">Older messages</a></nav>'
    return document(
        "Logs - Redox sandbox",
        '<h1>Logs</h1><p class="quiet">A sandbox on this machine, not Redox. '
        f"{_count(total, 'message')} received; "
        'newest first. <a href="/_sandbox/log">Reload</a></p>'
        f'<div class="scroll"><table><thead><tr>{_heads((*heads, "Log id"))}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{following}"
        f"<h2>Uploads that no message refers to</h2>{_upload_table(uploads)}",
    )


def detail(message: Message, delivery: Delivery, payload: JsonValue) -> str:
    """Give one log: what it is, how its file was processed, and what the message said."""
    facts = [
        ("Status", message.status),
        ("Received", message.at),
        ("API", message.api),
        ("Data model", message.model),
        ("Event type", message.event_type),
        ("Environment", message.flag),
        ("Source", message.source.name),
        ("Destination", f"{delivery.destination.name} ({delivery.destination.slug})"),
        ("Document id", message.document_id or ""),
        ("Log id", delivery.log_id),
        ("Attempt id", delivery.attempt_id),
        ("Redox-Trace-Id", message.trace_id),
    ]
    shown = json.dumps(_cut(payload), indent=2, ensure_ascii=False)
    return document(
        f"Log {delivery.log_id} - Redox sandbox",
        f'<nav><a href="/_sandbox/log">All logs</a></nav><h1>{escape(message.model)}: '
        f"{escape(message.event_type)}</h1>{_facts(facts)}"
        f"<h2>Process</h2>{_process(message)}"
        f"<h2>Payload</h2><pre>{escape(shown)}</pre>",
    )


def _process(message: Message) -> str:
    if message.upload is not None:
        upload = message.upload
        return _facts(
            [
                ("File", "was uploaded before the message"),
                ("Name", upload.filename or "(none was given)"),
                ("Content type", upload.content_type),
                ("Size", f"{upload.file.size_bytes:,} bytes"),
                ("sha256", upload.file.sha256),
                ("Reference", upload.url),
            ],
        ) + _download(upload)
    if message.status == "FAILED":
        return "<p>The message refers to a file that was never uploaded by this source.</p>"
    if message.file is not None:
        return _facts(
            [
                ("File", "came inside the message; see the payload"),
                ("Content type", message.content_type or ""),
                ("Size", f"{message.file.size_bytes:,} bytes"),
                ("sha256", message.file.sha256),
            ],
        )
    return '<p class="quiet">This message has no file.</p>'


def _message_row(message: Message, delivery: Delivery) -> str:
    size = "" if message.file is None else f"{message.file.size_bytes:,}"
    how = {"upload": "uploaded", "embed": "embedded"}.get(message.method or "", "")
    link = (
        f'<a href="/_sandbox/log/{escape(delivery.log_id)}"><code>{escape(delivery.log_id)}</code></a>'
    )
    return (
        f'<tr><td class="status {message.status}">{message.status}</td>'
        f"<td>{escape(_time(message.at))}</td><td>{escape(message.model)}</td>"
        f"<td>{escape(message.event_type)}</td><td>{escape(delivery.destination.name)}</td>"
        f'<td>{how}</td><td class="number">{size}</td><td>{link}</td></tr>'
    )


def _upload_table(uploads: Sequence[Upload]) -> str:
    if not uploads:
        return '<p class="quiet">None.</p>'
    rows = "".join(
        f"<tr><td>{escape(_time(upload.at))}</td><td>{escape(upload.api)}</td>"
        f"<td>{escape(upload.content_type)}</td><td>{escape(upload.source.name)}</td>"
        f'<td class="number">{upload.file.size_bytes:,}</td><td>{_download(upload)}</td></tr>'
        for upload in uploads
    )
    heads = _heads(("Received (UTC)", "API", "Content type", "Source", "Size", ""))
    return (
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _download(upload: Upload) -> str:
    return f'<a class="button" href="/_sandbox/log/uploads/{escape(upload.id)}">Download</a>'


def _facts(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in pairs
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _heads(names: Iterable[str]) -> str:
    return "".join(f'<th scope="col">{escape(name)}</th>' for name in names)


def _time(at: str) -> str:
    return at[:19].replace("T", " ")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _cut(value: JsonValue) -> JsonValue:
    if isinstance(value, str) and len(value) > SHOWN_CHARACTERS:
        return f"{value[:SHOWN_CHARACTERS]}… [{len(value):,} characters]"
    if isinstance(value, dict):
        return {key: _cut(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cut(item) for item in value]
    return value
