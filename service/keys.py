"""API keys: who may ask for what, and for how much of it a minute.

GANSERVE_API_KEYS_FILE is TOML, one table a key:

    [[keys]]
    name = "shop"                 # in metrics and logs; the key itself is in neither
    key = "at least 16 characters"  # or sha256 = "64 hex digits", of `printf %s "$KEY" | sha256sum`
    scopes = ["sample"]           # of sample, metrics, admin; ["sample"] if left out
    requests_per_minute = 600     # no limit if left out
    images_per_minute = 20000     # no limit if left out

GANSERVE_API_KEYS is the short form, for a secret that arrives as an environment variable:
`shop:KEY,ops:KEY:sample+metrics+admin`. With both, all keys hold; with neither, every route is open.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from service import metrics
from service.errors import QuotaExceeded, SettingsError
from service.settings import Settings

Scope = Literal["sample", "metrics", "admin"]

MOST_KEYS = 1000  # each is a label of a metric
_SECRET = re.compile(r"[\x21-\x7e]{16,256}")
_SHORT = re.compile(r"([^:]+):([^:]+)(?::([^:]+))?")
_COSTS_NOTHING = (429, 500, 503)


class Entry(Struct, forbid_unknown_fields=True):
    """A key as it is written down."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    key: str | None = None
    sha256: Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$")] | None = None
    scopes: Annotated[list[Scope], Meta(min_length=1)] = msgspec.field(default_factory=lambda: ["sample"])
    requests_per_minute: Annotated[int, Meta(ge=1)] | None = None
    images_per_minute: Annotated[int, Meta(ge=1)] | None = None


class KeysFile(Struct, forbid_unknown_fields=True):
    keys: list[Entry]


class Quota:
    """A token bucket that holds a minute's worth, and is full at first. No clock of its own.

    Who asks for more than that waits for a full bucket and leaves a debt, which those after it wait off: it is
    slow, and not impossible.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        """now: time.monotonic() seconds, here as below."""
        self.per_minute = per_minute
        self._left = per_minute
        self._at = now

    def wait_seconds(self, amount: float, now: float) -> int:
        """0 if `amount` may be taken now; else after how many seconds, if nobody else takes any."""
        per_second = self.per_minute / 60
        self._left = min(self.per_minute, self._left + (now - self._at) * per_second)
        self._at = now
        missing = min(amount, self.per_minute) - self._left
        return ceil(missing / per_second) if missing > 1e-6 else 0

    def take(self, amount: float) -> None:
        self._left -= amount

    def give_back(self, amount: float) -> None:
        self._left += amount


@dataclass(slots=True, eq=False)
class ApiKey:
    """A key that is known, without the key."""

    name: str
    scopes: frozenset[str]
    digest: bytes
    requests: Quota | None
    images: Quota | None


@dataclass(slots=True)
class Charge:
    """What one request takes of its key's quotas; what is answered with 429, 500 or 503 costs nothing."""

    key: ApiKey
    requests: int = 0
    images: int = 0

    def take(self, images: int, now: float) -> None:
        """One request and so many images. Raises QuotaExceeded, with nothing taken. now: time.monotonic() seconds."""
        wanted = (("requests", self.key.requests, 1), ("images", self.key.images, images))
        for what, quota, amount in wanted:
            if quota is not None and amount and (seconds := quota.wait_seconds(amount, now)):
                metrics.refused.labels("quota").inc()
                raise QuotaExceeded(
                    f"The key {self.key.name} may have {quota.per_minute:g} {what} a minute of this worker; "
                    f"there is room for this request in {seconds} seconds.",
                    retry_after_seconds=seconds,
                )
        for _, quota, amount in wanted:
            if quota is not None:
                quota.take(amount)
        self.requests, self.images = 1, images

    def take_more(self, images: int, now: float) -> None:
        """So many images more of a request that was taken. Raises QuotaExceeded, with nothing taken."""
        quota = self.key.images
        if quota is not None:
            if seconds := quota.wait_seconds(images, now):
                raise QuotaExceeded(f"The key {self.key.name} has used up its images.", seconds)
            quota.take(images)
        self.images += images

    def settle(self, code: int) -> None:
        """The request was answered with `code`."""
        metrics.child(metrics.key_requests, self.key.name, code).inc()
        if code == 200 and self.images:
            metrics.child(metrics.key_images, self.key.name).inc(self.images)
        if code in _COSTS_NOTHING:
            for quota, amount in ((self.key.requests, self.requests), (self.key.images, self.images)):
                if quota is not None:
                    quota.give_back(amount)


class Keyring:
    """The keys of this service. What it holds are MACs under a random key of this process."""

    def __init__(self, entries: Sequence[Entry], workers: int, now: float) -> None:
        """entries: each with its sha256. workers: how many share each quota. now: time.monotonic() seconds.

        Raises SettingsError.
        """
        self._salt = secrets.token_bytes(32)
        self._keys: dict[bytes, ApiKey] = {}
        for entry in entries:
            digest = self._digest(bytes.fromhex(entry.sha256 or ""))
            quotas = [
                None if limit is None else Quota(limit / workers, now)
                for limit in (entry.requests_per_minute, entry.images_per_minute)
            ]
            self._keys[digest[:8]] = ApiKey(entry.name, frozenset(entry.scopes), digest, *quotas)
        if len(self._keys) < len(entries) or len(set(self.names)) < len(entries):
            raise SettingsError("two keys are the same, or have the same name")
        if not 1 <= len(entries) <= MOST_KEYS:
            raise SettingsError(f"there are {len(entries)} keys; allowed are 1 to {MOST_KEYS}")

    @property
    def names(self) -> list[str]:
        return [key.name for key in self._keys.values()]

    def find(self, secret: str) -> ApiKey | None:
        """The key that a client presents."""
        digest = self._digest(hashlib.sha256(secret.encode()).digest())
        # Nobody outside can aim at a digest under a random key, so where it is looked for tells nothing of a key.
        key = self._keys.get(digest[:8])
        return key if key is not None and hmac.compare_digest(key.digest, digest) else None

    def _digest(self, sha256: bytes) -> bytes:
        return hashlib.blake2b(
            sha256, key=self._salt, digest_size=32
        ).digest()  # as good, in a third of the time


def keyring(settings: Settings) -> Keyring | None:
    """The keys that the settings name; None if they name none.

    Raises SettingsError, one line that says where the mistake is and shows no key.
    """
    sources = {
        "GANSERVE_API_KEYS_FILE": (settings.api_keys_file, _read_file),
        "GANSERVE_API_KEYS": (settings.api_keys, _read_short),
    }
    given = {name: source for name, source in sources.items() if source[0]}
    where, entries = "", []
    try:
        for name, (text, read) in given.items():
            where = name
            entries += [_hashed(entry, number) for number, entry in enumerate(read(text), 1)]
        return Keyring(entries, settings.workers, time.monotonic()) if given else None
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}.") from None


def _read_file(path: str) -> list[Entry]:
    try:
        return msgspec.toml.decode(Path(path).read_bytes(), type=KeysFile).keys
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text = " ".join(f"{error}".split())
        # What stands in the place of a scope may be a key.
        text = re.sub("^Invalid enum value '.*'", f"Scopes are {', '.join(get_args(Scope))}", text)
        raise SettingsError(f"{path}: {text}") from None


def _read_short(text: str) -> list[Entry]:
    """name:key or name:key:scope+scope, with commas between."""
    entries = []
    for number, part in enumerate(text.split(","), 1):
        match = _SHORT.fullmatch(part.strip())
        try:
            name, key, scopes = match.groups("sample") if match else ("", "", "")
            entries.append(msgspec.convert({"name": name, "key": key, "scopes": scopes.split("+")}, Entry))
        except msgspec.ValidationError:
            # Which part is wrong is not shown: it may be the key, in another's place.
            raise SettingsError(
                f"entry {number} must be name:key or name:key:scope+scope, with a name of letters, digits and . _ - "
                f"and the scopes {', '.join(get_args(Scope))}"
            ) from None
    return entries


def _hashed(entry: Entry, number: int) -> Entry:
    """With its sha256 in place of the key. Raises SettingsError."""
    if (entry.key is None) == (entry.sha256 is None):
        raise SettingsError(f"entry {number} needs key or sha256, and not both")
    if entry.key is None:
        return entry
    if not _SECRET.fullmatch(entry.key):
        raise SettingsError(
            f"entry {number}: a key has 16 to 256 visible ASCII characters, as `openssl rand -hex 32` gives them"
        )
    return replace(entry, key=None, sha256=hashlib.sha256(entry.key.encode()).hexdigest())
