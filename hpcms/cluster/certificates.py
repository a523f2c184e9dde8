"""Certificates for one run: an authority that signs one key for scheduler, workers and driver, and is then forgotten.

Whoever cannot read the run directory has no certificate and is refused by the scheduler and by every worker.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALID = datetime.timedelta(days=365)
EARLIER = datetime.timedelta(hours=24)  # clocks of nodes differ


def issue(folder: Path) -> dict[str, str]:
    """Write ``ca.pem``, ``cert.pem`` and ``key.pem`` (mode 600) into ``folder`` (mode 700); their paths."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name, name = _name("hpcms run"), _name("hpcms member")
    usage = x509.BasicConstraints(ca=True, path_length=0)
    ca = _certificate(ca_name, ca_name, ca_key, ca_key, usage)
    member = _certificate(name, ca_name, key, ca_key, x509.BasicConstraints(ca=False, path_length=None))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = serialization.Encoding.PEM
    texts = {"ca": ca.public_bytes(pem), "cert": member.public_bytes(pem), "key": private}
    for part, text in texts.items():
        _write(folder / f"{part}.pem", text)
    return {part: str(folder / f"{part}.pem") for part in texts}


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    constraints: x509.BasicConstraints,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + VALID)
        .add_extension(constraints, critical=True)
        .sign(signer, hashes.SHA256())
    )


def _write(path: Path, text: bytes) -> None:
    """The file is private from its first moment on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
