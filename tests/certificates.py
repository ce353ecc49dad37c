"""Certificates for servers of tests."""

import ssl
import subprocess
from pathlib import Path


def made(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for `localhost` alone, signed by itself, and the context of its server."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    request += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*request, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context
