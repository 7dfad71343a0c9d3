import gc
import hashlib
import secrets

import pytest
from prometheus_client import REGISTRY

from service.errors import QuotaExceeded, SettingsError
from service.keys import MOST_KEYS, Charge, Entry, Keyring, Quota, keyring
from service.settings import Settings

SHOP, OPS = "shop-0123456789abcdef", "ops-0123456789abcdef"
FILE = f"""
[[keys]]
name = "shop"
key = "{SHOP}"
requests_per_minute = 600
images_per_minute = 20000

[[keys]]
name = "ops"
sha256 = "{hashlib.sha256(OPS.encode()).hexdigest().upper()}"
scopes = ["sample", "metrics", "admin"]
"""


def of_file(folder, text: str, **settings) -> Keyring | None:
    path = folder / "keys.toml"
    path.write_text(text)
    return keyring(Settings(api_keys_file=str(path), **settings))


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def test_without_keys_there_is_no_keyring():
    assert keyring(Settings()) is None


def test_a_file_names_keys_scopes_and_quotas(tmp_path):
    ring = of_file(tmp_path, FILE, workers=2)
    assert ring
    assert ring.names == ["shop", "ops"]
    shop, ops = ring.find(SHOP), ring.find(OPS)
    assert shop
    assert ops
    assert (shop.name, shop.scopes) == ("shop", {"sample"})
    assert (ops.name, ops.scopes) == ("ops", {"sample", "metrics", "admin"})
    assert shop.requests
    assert shop.images
    assert (shop.requests.per_minute, shop.images.per_minute) == (300, 10000), "each of two workers has half"
    assert (ops.requests, ops.images) == (None, None)


def test_the_short_form_names_keys_and_scopes_and_holds_beside_the_file(tmp_path):
    ring = of_file(tmp_path, FILE, api_keys="a:aaaaaaaaaaaaaaaa, b:bbbbbbbbbbbbbbbb:sample+metrics")
    assert ring
    assert ring.names == ["shop", "ops", "a", "b"]
    a, b = ring.find("a" * 16), ring.find("b" * 16)
    assert a
    assert b
    assert (a.scopes, b.scopes) == ({"sample"}, {"sample", "metrics"})


@pytest.mark.parametrize(
    "other",
    [
        "",
        SHOP[:-1],
        SHOP + "x",
        SHOP.upper(),
        f" {SHOP}",
        hashlib.sha256(SHOP.encode()).hexdigest(),
        "é" * 99,
    ],
)
def test_what_is_no_key_finds_none(tmp_path, other):
    ring = of_file(tmp_path, FILE)
    assert ring
    assert ring.find(other) is None


def test_no_key_stays_in_memory(tmp_path):
    name, key = "vault", secrets.token_hex(32)
    ring = of_file(tmp_path, f'[[keys]]\nname = "{name}"\nkey = "{key}"\n')
    assert ring
    assert ring.find(key)
    sha256 = hashlib.sha256(key.encode())
    held = [
        one
        for one in gc.get_objects()
        # Not isinstance: it asks objects for their class, and one of torch's answers with a warning.
        if issubclass(type(one), Keyring | Entry) or type(one).__name__ == "ApiKey"
    ]
    text = repr([gc.get_referents(one) for one in held]) + repr(held) + repr(vars(ring))
    assert name in text
    assert not any(secret in text for secret in (key, sha256.hexdigest(), repr(sha256.digest())))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "missing required field `keys`"),
        ("keys = []", "there are 0 keys"),
        ("[[keys]]", "missing required field `name`"),
        ('[[keys]]\nname = "a b"\nkey = "0123456789abcdef"', "regex"),
        ('[[keys]]\nname = "a"', "entry 1 needs key or sha256"),
        (f'[[keys]]\nname = "a"\nkey = "0123456789abcdef"\nsha256 = "{"0" * 64}"', "and not both"),
        ('[[keys]]\nname = "a"\nkey = "hunter2"', "entry 1: a key has 16 to 256 visible ASCII characters"),
        ('[[keys]]\nname = "a"\nkey = "hunter2 hunter2 hunter2"', "16 to 256"),
        ('[[keys]]\nname = "a"\nsha256 = "hunter2"', "regex"),
        ('[[keys]]\nname = "a"\nkey = "0123456789abcdef"\nscopes = []', "scopes"),
        (
            '[[keys]]\nname = "a"\nkey = "0123456789abcdef"\nscopes = ["hunter2"]',
            "Scopes are sample, metrics, admin",
        ),
        ('[[keys]]\nname = "a"\nkey = "0123456789abcdef"\nimages_per_minute = 0', ">= 1"),
        ('[[keys]]\nname = "a"\nkey = "0123456789abcdef"\nimages_per_minute = "many"', "images_per_minute"),
        ('[[keys]]\nname = "a"\nkey = "0123456789abcdef"\nexpires = "never"', "unknown field `expires`"),
        (FILE + FILE, "two keys are the same, or have the same name"),
        (FILE + f'[[keys]]\nname = "again"\nkey = "{SHOP}"', "two keys are the same"),
        ("[[keys]]\nname = hunter2", "line 2"),
        ("[[keys]\n", "line 1"),
        ("".join(f'[[keys]]\nname="{i}"\nkey="{i:016}"\n' for i in range(MOST_KEYS + 1)), "1 to 1000"),
    ],
)
def test_a_bad_file_is_one_line_that_says_where_and_shows_no_key(tmp_path, text, says):
    with pytest.raises(SettingsError) as caught:
        of_file(tmp_path, text)
    line = str(caught.value)
    assert line.startswith("GANSERVE_API_KEYS_FILE: ")
    assert says in line
    assert "\n" not in line
    assert not any(secret in line for secret in ("hunter2", "0123456789abcdef"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hunter2hunter2hunter2", "entry 1 must be name:key"),
        ("a:aaaaaaaaaaaaaaaa,", "entry 2 must be name:key"),
        ("a:hunter2", "entry 1: a key has 16 to 256"),
        ("hunter2hunter2hunter2:a", "entry 1: a key has 16 to 256"),
        ("a:sample:hunter2hunter2", "entry 1 must be name:key"),
        ("a:aaaaaaaaaaaaaaaa:sample:hunter2", "entry 1 must be name:key"),
        ("a:aaaaaaaaaaaaaaaa,a:bbbbbbbbbbbbbbbb", "the same name"),
    ],
)
def test_a_bad_short_form_is_one_line_that_shows_no_key(text, says):
    with pytest.raises(SettingsError) as caught:
        keyring(Settings(api_keys=text))
    line = str(caught.value)
    assert line.startswith("GANSERVE_API_KEYS: ")
    assert says in line
    assert "hunter2" not in line
    assert "\n" not in line


@pytest.mark.parametrize("where", ["nowhere.toml", "."])
def test_a_file_that_can_not_be_read_is_named(tmp_path, where):
    with pytest.raises(SettingsError, match=r"^GANSERVE_API_KEYS_FILE: .*: (No such file|Is a directory)"):
        keyring(Settings(api_keys_file=str(tmp_path / where)))


def test_a_file_that_is_not_text_is_one_line(tmp_path):
    (tmp_path / "keys.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"keys\.toml: 'utf-8' codec can't decode"):
        keyring(Settings(api_keys_file=str(tmp_path / "keys.toml")))


def charged(requests_per_minute: int | None = None, images_per_minute: int | None = None) -> Charge:
    entry = Entry("meter", None, "00" * 32, ["sample"], requests_per_minute, images_per_minute)
    ring = Keyring([entry], workers=1, now=0)
    return Charge(next(iter(ring._keys.values())))


def test_requests_and_images_are_taken_together_or_not_at_all():
    charge = charged(requests_per_minute=60, images_per_minute=10)
    charge.take(10, now=0)
    for _ in range(58):
        charge.take(0, now=0)
    with pytest.raises(QuotaExceeded, match="10 images a minute") as caught:
        charge.take(5, now=0)
    assert caught.value.retry_after_seconds == 30
    charge.take(0, now=0)
    with pytest.raises(QuotaExceeded, match="60 requests a minute") as caught:
        charge.take(0, now=0)
    assert caught.value.retry_after_seconds == 1


@pytest.mark.parametrize(
    ("code", "costs"),
    [(200, True), (422, True), (499, True), (504, True), (429, False), (500, False), (503, False)],
)
def test_what_the_service_refuses_or_fails_costs_nothing(code, costs):
    first = charged(requests_per_minute=1, images_per_minute=4)
    first.take(4, now=0)
    first.settle(code)
    second = Charge(first.key)
    if costs:
        with pytest.raises(QuotaExceeded):
            second.take(4, now=0)
    else:
        second.take(4, now=0)


def test_requests_are_metered_by_name_and_code_and_images_where_they_were_answered():
    before = value("ganserve_key_images_total", key="meter")
    for code in (200, 200, 429):
        charge = charged()
        charge.take(3, now=0)
        charge.settle(code)
    assert value("ganserve_key_images_total", key="meter") == before + 6
    assert value("ganserve_key_requests_total", key="meter", code="429") >= 1


def test_a_minutes_worth_may_be_had_at_once_and_then_as_it_comes_in():
    quota = Quota(60, now=100)
    for _ in range(60):
        assert quota.wait_seconds(1, now=100) == 0
        quota.take(1)
    assert quota.wait_seconds(1, now=100) == 1
    assert quota.wait_seconds(1, now=100.9) == 1
    assert quota.wait_seconds(1, now=101) == 0
    assert quota.wait_seconds(10, now=101) == 9


def test_what_is_not_used_is_kept_for_a_minute_and_no_longer():
    quota = Quota(10, now=0)
    for _ in range(10):
        assert quota.wait_seconds(1, now=5000) == 0
        quota.take(1)
    assert quota.wait_seconds(1, now=5000) == 6


def test_more_than_a_minutes_worth_waits_for_a_full_bucket_and_is_waited_off_by_the_next():
    quota = Quota(30, now=0)
    assert quota.wait_seconds(90, now=0) == 0
    quota.take(90)
    assert quota.wait_seconds(1, now=0) == 122
    assert quota.wait_seconds(90, now=0) == 180
    assert quota.wait_seconds(1, now=122) == 0


def test_over_time_nobody_gets_more_than_the_quota():
    quota, now, had = Quota(7, now=0), 0.0, 0
    while now < 3600:
        if seconds := quota.wait_seconds(3, now):
            now += seconds
        else:
            quota.take(3)
            had += 3
    assert 7 * 59 <= had <= 7 * 61


def test_a_fraction_of_one_a_minute_is_one_now_and_then():
    quota = Quota(1 / 4, now=0)
    assert quota.wait_seconds(1, now=0) == 0
    quota.take(1)
    assert quota.wait_seconds(1, now=0) == 240
    assert quota.wait_seconds(1, now=240) == 0


def test_what_is_given_back_may_be_had_again_and_fills_no_bucket_beyond_its_brim():
    quota = Quota(10, now=0)
    quota.take(10)
    quota.give_back(10)
    quota.give_back(10)
    assert quota.wait_seconds(10, now=0) == 0
    quota.take(10)
    assert quota.wait_seconds(1, now=0) == 6
