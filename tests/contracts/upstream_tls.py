"""The upstream contract, part 6: TLS is verified, names and outbound proxies fail as what they are."""

import asyncio
import base64
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from application.ports import Upstream
from domain.failure import FailureKind
from tests.contracts.scripted_server import Peer, ScriptedServer, after_request, answering, chunked, hold, reply
from tests.contracts.upstream_calls import UpstreamBase, call, cancel, failure_of, fetch, until_waiting


def make_certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A self-signed certificate for `name` (as in subjectAltName): the server's context, and a client's that trusts it."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    options = f"-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test -addext subjectAltName={name}"
    command = ["openssl", "req", *options.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=certificate)


@pytest.fixture(scope="module")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return make_certificate(tmp_path_factory.mktemp("loopback"), "IP:127.0.0.1")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return make_certificate(tmp_path_factory.mktemp("elsewhere"), "DNS:elsewhere.test")
