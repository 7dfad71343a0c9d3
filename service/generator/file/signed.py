"""OpenSSF Model Signing: whether a model's folder is as whoever holds the private key signed it.

`model_signing sign key --private_key KEY --signature models/NAME/model.sig models/NAME` signs one
(github.com/sigstore/model-transparency). The library is an extra, imported where a key is configured.
"""

from pathlib import Path

from service.errors import ContractError, SettingsError

SIGNATURE = "model.sig"
_SIGN = "sign its folder: `model_signing sign key --private_key KEY --signature FOLDER/model.sig FOLDER`"


def check(key: str) -> None:
    """key: as the settings have it; "" for none. Raises SettingsError where it is no file of a public key."""
    if not key:
        return
    setting = f"GANSERVE_SIGNING_KEY is '{key}'"
    try:
        content = Path(key).read_bytes()
    except OSError as error:
        raise SettingsError(f"{setting}: {error.strerror}.") from error
    if b"-----BEGIN PUBLIC KEY-----" not in content:
        raise SettingsError(f"{setting}: allowed is a file with a public key of an elliptic curve, in PEM.")


def verify(folder: Path, key: Path) -> None:
    """Raises ContractError: no signature, one of another key, or a file that was changed, added or taken away since.

    key: of the elliptic curve's public key, PEM.
    """
    try:
        from model_signing import (  # pyright: ignore[reportMissingImports]
            hashing,
            verifying,
        )
    except ImportError as error:
        raise ContractError(
            f"GANSERVE_SIGNING_KEY is set, and signatures can't be read ({error})",
            "pip install 'ganserve[signing]'",
        ) from error
    signature = folder / SIGNATURE
    if not signature.is_file():
        raise ContractError(
            f"it is not signed: there is no {SIGNATURE} beside it, and GANSERVE_SIGNING_KEY is set",
            _SIGN,
        )
    files = hashing.Config().set_ignored_paths(paths=[signature])
    try:
        check = verifying.Config().use_elliptic_key_verifier(public_key=key).set_hashing_config(files)
        check.verify(folder, signature)
    except Exception as error:  # the library raises a dozen classes, of its own and of others
        mend = f"copy the whole folder again from who signed it, or, where the change was meant, {_SIGN}"
        raise ContractError(f"its signature is not good: {error}", mend) from error
