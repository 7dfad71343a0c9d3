"""A certificate that C2PA takes, of an authority of its own: as its conformance program has them, for a month."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def write(folder: Path, curve: ec.EllipticCurve | None = None) -> tuple[Path, Path, str]:
    """Files of chain and key, of Ed25519 or on a curve, and the authority's certificate as PEM."""
    made: Any = (
        ed25519.Ed25519PrivateKey.generate if curve is None else lambda: ec.generate_private_key(curve)
    )
    authority, own = made(), made()
    digest = None if curve is None else hashes.SHA256()
    root = _certificate("authority", authority.public_key(), authority, digest, is_authority=True)
    leaf = _certificate("signer", own.public_key(), authority, digest, is_authority=False)
    chain, key = folder / "chain.pem", folder / "private.pem"
    pem = root.public_bytes(Encoding.PEM)
    chain.write_bytes(leaf.public_bytes(Encoding.PEM) + pem)
    key.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return chain, key, pem.decode()


def write_authority(folder: Path) -> tuple[Path, Path]:
    """Files of an authority's own certificate, which signs certificates and no pictures, and its key."""
    authority = ed25519.Ed25519PrivateKey.generate()
    root = _certificate("authority", authority.public_key(), authority, None, is_authority=True)
    chain, key = folder / "authority.pem", folder / "authority.key"
    chain.write_bytes(root.public_bytes(Encoding.PEM))
    key.write_bytes(authority.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return chain, key


def _certificate(name: str, public: Any, signer: Any, digest: Any, is_authority: bool) -> x509.Certificate:
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named("authority"))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(is_authority, None), True)
        .add_extension(usage, True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
    )
    if not is_authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return builder.sign(signer, digest)


def _named(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "ganserve's tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
