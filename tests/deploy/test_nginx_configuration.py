"""deploy/nginx as nginx reads it; what it does then is in tests/system/balancers/test_nginx.py."""

import re

import pytest

from tests.system.balancers.balancer import Balancer

# A host's own nginx, into which ganserve.conf goes alone.
HOST = "pid host.pid; events {} http { gzip on; include ganserve.conf; }"


@pytest.mark.parametrize("main", ["of its container", "of a host"])
def test_nginx_has_nothing_to_say_about_the_configuration(tmp_path, main):
    nginx = Balancer(tmp_path / "nginx", [3000, 3001])
    if main == "of a host":
        (tmp_path / "nginx/nginx.conf").write_text(HOST)
    said = nginx.check()
    assert "test is successful" in said
    assert re.findall(r"\[(?:warn|error|emerg)\].*", said) == []


def test_every_replica_is_there_twice_and_nothing_is_left_to_fill_in(tmp_path):
    Balancer(tmp_path / "nginx", [3000, 3001])
    conf = (tmp_path / "nginx/ganserve.conf").read_text()
    assert "${" not in conf
    servers = re.findall(r"(?<!# )server (127\.0\.0\.1:\d+) ([^;]*);", conf)
    assert [address for address, limits in servers if "backup" not in limits] == [
        "127.0.0.1:3000",
        "127.0.0.1:3001",
    ]
    assert [address for address, limits in servers if "backup" in limits] == [
        "127.0.0.1:3000",
        "127.0.0.1:3001",
    ]
