"""Content credentials: a manifest inside a picture that says, signed, that a trained model made it (C2PA, c2pa.org).

The library is an extra, imported where a certificate is configured. Each manifest has random numbers of the library's own,
so no two signatures of one picture are of equal bytes, with no kind of key.
"""

import io
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from service.errors import SettingsError
from service.generator import images
from service.generator.origin.provenance import DIGITAL_SOURCE_TYPE

_ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_SETTINGS = {
    # A thumbnail would be larger than most pictures here; a look at each signature takes as long as the signature.
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
}


class Credentials:
    """A certificate with its key; threads may share it."""

    def __init__(self, certificate: str, key: str) -> None:
        """Files of PEM: the certificate, then those that lead to its root, and its key, PKCS #8 without a password.

        Raises SettingsError, where a picture can't be signed by them.
        """
        files = f"GANSERVE_CREDENTIALS_CERTIFICATE is '{certificate}' and GANSERVE_CREDENTIALS_KEY '{key}'"
        try:
            import c2pa  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            text = f"{files}, and nothing here can sign: pip install 'ganserve[credentials]' ({error})"
            raise SettingsError(text) from error
        self._c2pa: Any = c2pa
        try:
            chain, secret = Path(certificate).read_bytes(), Path(key).read_bytes()
            info = c2pa.C2paSignerInfo(_algorithm(chain, secret).encode(), chain, secret, None)
            self._signer = c2pa.Signer.from_info(info)
            self._context = c2pa.Context.from_dict(_SETTINGS)
            self._try()
        except OSError as error:
            raise SettingsError(f"{files}: {error.filename} can't be read, {error.strerror}.") from error
        except Exception as error:  # of two libraries, which raise what they like
            text = f"{files}: they must be PEM, a certificate chain for C2PA and its own key"
            raise SettingsError(f"{text} ({' '.join(f'{error}'.split())[:300]}).") from error

    def signed(self, picture: bytes, media_type: str, model: str, version: str) -> bytes:
        """The same picture with a manifest in it. Some milliseconds: not on the event loop."""
        agent = {"name": model, "version": version}
        created = {
            "action": "c2pa.created",
            "digitalSourceType": DIGITAL_SOURCE_TYPE,
            "softwareAgent": agent,
        }
        manifest = {
            "claim_generator_info": [{"name": "ganserve"}],
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
        }
        file = io.BytesIO()
        with self._c2pa.Builder(json.dumps(manifest), self._context) as builder:
            builder.sign(self._signer, media_type, io.BytesIO(picture), file)
        return file.getvalue()

    def _try(self) -> None:
        """Signs a picture, and reads it: a certificate that is no good is found by no look at it alone."""
        picture = images.png(np.zeros((1, 1, 1), np.uint8))
        signed = self.signed(picture, "image/png", "model", "version")
        with self._c2pa.Reader("image/png", io.BytesIO(signed), context=self._context) as reader:
            results = (reader.get_validation_results() or {}).get("activeManifest", {})
        # Whom a reader trusts is the reader's matter.
        wrong = [one for one in results.get("failure", []) if one["code"] != "signingCredential.untrusted"]
        if wrong or not results:
            raise ValueError(
                "; ".join(f"{one['code']}: {one['explanation']}" for one in wrong) or "unreadable"
            )


def _algorithm(chain: bytes, secret: bytes) -> str:
    """As C2PA names it. Raises ValueError: a key of another certificate, or of a kind that signs nothing there."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    public = x509.load_pem_x509_certificates(chain)[0].public_key()
    if load_pem_private_key(secret, None).public_key() != public:
        raise ValueError("the key is not that of the first certificate")
    if isinstance(public, ed25519.Ed25519PublicKey):
        return "ed25519"
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _ALGORITHMS:
        return _ALGORITHMS[public.curve.name]
    if isinstance(public, rsa.RSAPublicKey):
        return "ps256"
    raise ValueError("the key is neither Ed25519, nor of P-256, P-384 or P-521, nor RSA")


@lru_cache(1)
def credentials_of(certificate: str, key: str) -> Credentials | None:
    """None where no certificate is configured. Raises SettingsError."""
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise SettingsError(
            "GANSERVE_CREDENTIALS_CERTIFICATE and GANSERVE_CREDENTIALS_KEY go together: one of them is not set."
        )
    return Credentials(certificate, key)
