"""Two plain clients for the sandbox, which share no code with chartsend."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
import tomllib
import uuid
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import jwt
import pytest

from chartsend.testing import SandboxProcess

FORM = "application/x-www-form-urlencoded"
FHIR = "application/fhir+json"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
OPERATION = "/fhir/R4/{slug}/Development/DocumentReference/$documentreference-create"
EVENT = "https://fhir.redoxengine.com/EventDefinition/DocumentReferenceCreate"


class Answer:
    """What came back: status, headers, body."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:300]!r}>"


class Client:
    """Speaks HTTP through http.client, one connection per request."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.profile = tomllib.loads(sandbox.info.profile.read_text())
        self.token = None

    def request(self, method, path, body=None, headers=None, *, base=None):
        url = urlsplit(base or self.sandbox.info.api_url)
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=str(self.sandbox.ca_file))
            connection = http.client.HTTPSConnection(url.hostname, url.port, context=context)
        else:
            connection = http.client.HTTPConnection(url.hostname, url.port)
        connection.timeout = 30
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def claims(self, **changes):
        now = int(time.time())
        client_id = self.profile["auth"]["client_id"]
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": self.sandbox.info.token_url,
            "iat": now,
            "exp": now + 240,
            "jti": str(uuid.uuid4()),
        }
        claims |= changes
        return {name: value for name, value in claims.items() if value is not None}

    def assertion(self, claims=None, *, key=None, algorithm=None, headers=None):
        auth = self.profile["auth"]
        return jwt.encode(
            claims or self.claims(),
            key or Path(auth["key_file"]).read_text(),
            algorithm=algorithm or auth["algorithm"],
            headers={"kid": auth["key_id"]} if headers is None else headers,
        )

    def ask_token(self, **changes):
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(),
        }
        form = {k: v for k, v in (form | changes).items() if v is not None}
        return self.request("POST", "/v2/auth/token", urlencode(form), {"Content-Type": FORM})

    def log_in(self):
        answer = self.ask_token()
        assert answer.status == 200, answer
        self.token = answer.json()["access_token"]
        return self

    def bearer(self, **more):
        return {"Authorization": f"Bearer {self.token}"} | {
            name.replace("_", "-"): value for name, value in more.items()
        }

    def post(self, path, body, content_type, *, base=None, **headers):
        if isinstance(body, dict | list):
            body = json.dumps(body).encode()
        return self.request(
            "POST", path, body, self.bearer(Content_Type=content_type, **headers), base=base
        )

    def binary(self, content, content_type="application/pdf", flag="Development", **headers):
        return self.post(f"/fhir/R4/redox/{flag}/Binary", content, content_type, **headers)

    def bundle(self, document_id="4411", **attachment):
        document = {
            "resourceType": "DocumentReference",
            "id": "doc-1",
            "masterIdentifier": {"system": "urn:example:documents", "value": document_id},
            "status": "current",
            "subject": {"reference": "Patient/pat-1"},
            "content": [{"attachment": {"contentType": "application/pdf"} | attachment}],
        }
        return self.bundle_of(document)

    def bundle_of(self, resource, event=EVENT):
        kind = resource["resourceType"]
        header = {
            "resourceType": "MessageHeader",
            "eventUri": event,
            "source": {"endpoint": "urn:uuid:05107c08-fe2f-4740-8c1d-c7107d18ebe5"},
            "focus": [{"reference": f"{kind}/{resource.get('id')}"}],
        }
        entries = [{"resource": header}, {"resource": resource}]
        return {"resourceType": "Bundle", "type": "message", "entry": entries}

    def create(self, bundle, slug="redox-fhir-sandbox", **headers):
        return self.post(OPERATION.format(slug=slug), bundle, FHIR, **headers)

    def note(self, contents, event="New", destinations=None, **fields):
        ids = destinations or [self.sandbox.info.destination_id]
        return {
            "Meta": {
                "DataModel": "Notes",
                "EventType": event,
                "Destinations": [{"ID": identifier} for identifier in ids],
            },
            "Patient": {"Identifiers": [{"ID": "0000991234", "IDType": "MR"}]},
            "Note": {
                "ContentType": "Base64 Encoded",
                "FileContents": contents,
                "FileName": "a.pdf",
                "DocumentType": "Consent Form",
                "DocumentID": "4411",
                "Provider": {"ID": "9999999995"},
            }
            | fields,
        }

    def endpoint(self, message):
        return self.post("/endpoint", message, "application/json")

    def form(self, content, name="file", filename="a.pdf", boundary="xyzzy"):
        disposition = f'form-data; name="{name}"'
        if filename is not None:
            disposition += f'; filename="{filename}"'
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n"
        head += "Content-Type: application/pdf\r\n\r\n"
        return head.encode() + content + f"\r\n--{boundary}--\r\n".encode()

    def upload(self, form, boundary="xyzzy", **headers):
        return self.post(
            "/upload",
            form,
            f"multipart/form-data; boundary={boundary}",
            base=self.sandbox.info.blob_url,
            **headers,
        )


class ReadAhead:
    """One buffered reader for all answers of a connection: what it read ahead is not lost."""

    def __init__(self, sock):
        self.file = sock.makefile("rb")

    def makefile(self, *_):
        return self

    def __getattr__(self, name):
        return getattr(self.file, name)

    def close(self):
        """The connection goes on after an answer."""


class Wire:
    """A bare socket to the sandbox, for everything that a decent client does not do."""

    def __init__(self, url, timeout_s=10.0):
        parts = urlsplit(url)
        self.host = parts.netloc
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=timeout_s)
        self.reader = ReadAhead(self.socket)

    def head(self, method, path, headers, length=None):
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def send(self, content):
        self.socket.sendall(content)

    def send_until_it_fails(self, total, pause_s=0.0):
        """Send zeros; give how many bytes the kernel took before the connection broke."""
        sent = 0
        piece = bytes(65536)
        try:
            while sent < total:
                sent += self.socket.send(piece[: total - sent])
                time.sleep(pause_s)
        except OSError:
            pass
        return sent

    def answer(self):
        response = http.client.HTTPResponse(self.reader)
        response.begin()
        return Answer(response.status, response.headers, response.read())

    def everything(self):
        """Read to the end of the connection; an RST raises ConnectionResetError."""
        content = b""
        while piece := self.reader.read1(65536):
            content += piece
        return content

    def close(self):
        self.reader.file.close()
        self.socket.close()


@pytest.fixture(scope="session")
def shared():
    """One sandbox for all tests that leave nothing behind which others could see."""
    with SandboxProcess.start("--quota", "off") as process:
        yield process


@pytest.fixture
def logged_out(request):
    """A client of the test's own sandbox if it has one, else of the shared one."""
    name = "sandbox" if "sandbox" in request.fixturenames else "shared"
    return Client(request.getfixturevalue(name))


@pytest.fixture
def client(logged_out):
    return logged_out.log_in()


@pytest.fixture
def wire(sandbox):
    wires = []

    def open_wire(face="api", **options):
        url = sandbox.info.api_url if face == "api" else sandbox.info.blob_url
        wires.append(Wire(url, **options))
        return wires[-1]

    yield open_wire
    for one in wires:
        one.close()
