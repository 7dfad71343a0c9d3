"""Signed models: by the library that signs them."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.errors import ContractError, SettingsError
from service.generator import loading
from service.generator.file.signed import SIGNATURE, check
from service.settings import Settings
from tests.generators import Tiny, folder

pytest.importorskip("model_signing", reason="the extra `signing` is not installed")


@pytest.fixture
def keys(tmp_path):
    """Private and public, as files."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    names = tmp_path / "private.pem", tmp_path / "public.pem"
    plain = serialization.NoEncryption()
    names[0].write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    names[1].write_bytes(private.public_key().public_bytes(pem, form))
    return names


@pytest.fixture
def signed(tmp_path, keys):
    """A model's folder with its signature."""
    from model_signing import hashing, signing  # pyright: ignore[reportMissingImports]

    models = tmp_path / "models"
    folder(models, {"tiny": Tiny().file()})
    (models / "tiny" / "README.md").write_text("# Tiny\n")
    files = hashing.Config().set_ignored_paths(paths=[models / "tiny" / SIGNATURE])
    signer = signing.Config().use_elliptic_key_signer(private_key=keys[0]).set_hashing_config(files)
    signer.sign(models / "tiny", models / "tiny" / SIGNATURE)
    return models / "tiny"


def load(path, keys):
    settings = Settings(engine="onnxruntime", threads=1, signing_key=str(keys[1]))
    return loading.load(loading.read(path / "generator.onnx"), settings)


def test_a_signed_model_is_served(signed, keys):
    assert load(signed, keys).golden is not None


@pytest.mark.parametrize("what", ["changed", "added", "taken", "card"])
def test_a_folder_that_was_tampered_with_is_refused(signed, keys, what):
    if what == "changed":
        (signed / "generator.onnx").write_bytes(Tiny(weights_seed=1).file())
    elif what == "added":
        (signed / "generator-2.onnx").write_bytes(Tiny(weights_seed=1).file())
    elif what == "taken":
        (signed / "README.md").unlink()
    else:
        (signed / "README.md").write_text("# Another\n")
    with pytest.raises(ContractError, match="signature is not good"):
        load(signed, keys)


def test_a_model_without_a_signature_is_refused_where_a_key_is_configured(signed, keys):
    (signed / SIGNATURE).unlink()
    with pytest.raises(ContractError, match="not signed"):
        load(signed, keys)


def test_a_signature_of_another_key_is_refused(signed, keys):
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    keys[1].write_bytes(other.public_bytes(serialization.Encoding.PEM, form))
    with pytest.raises(ContractError, match="signature is not good"):
        load(signed, keys)


def test_a_key_that_is_none_is_told_at_the_start(keys):
    check("")
    check(f"{keys[1]}")
    with pytest.raises(SettingsError, match=r"GANSERVE_SIGNING_KEY is '/nofile': No such file"):
        check("/nofile")
    with pytest.raises(SettingsError, match="allowed is a file with a public key"):
        check(f"{keys[0]}")
