import re
from pathlib import Path

import pytest

from service.registry.models import Models
from service.settings import Settings
from service.web.openapi import document
from service.web.pages import routes as pages
from tests.service.web.site import Site, refused

FOLDER = Path(pages.__file__).parent / "playground"
FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in {".html", ".js", ".css"})
ADDRESSES = ["/", *(f"/playground/{name}" for name in FILES if not name.endswith(".html"))]


@pytest.mark.parametrize("address", [*ADDRESSES, "/docs"])
def test_the_browser_is_told_to_stay_with_this_service(site, address):
    response = site.get(address)
    assert response.status_code == 200
    policy = dict(
        part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy, "no script but files of this service"
    assert not re.search(r"https?:|\*", response.headers["content-security-policy"])
    assert policy["frame-ancestors"] == "'none'"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("address", [*ADDRESSES, "/docs"])
def test_no_page_names_another_host_or_holds_a_script_of_its_own(site, address):
    text = site.get(address).text
    assert not re.search(r"https?://|['\"(]//", text)
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|<style|\sstyle=", text)


@pytest.mark.parametrize("address", ADDRESSES)
def test_head_and_a_second_visit_cost_no_body(site, address):
    response, head = site.get(address), site.ask("HEAD", address)
    for one in (response, head):
        del one.headers["x-request-id"]
    assert (head.status_code, head.headers) == (200, response.headers)
    assert head.content == b""
    assert response.headers["cache-control"] == "no-cache"
    again = site.get(address, headers={"if-none-match": f'"other", W/{response.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == response.headers["etag"]
    assert site.get(address, headers={"if-none-match": '"other"'}).status_code == 200


def test_every_file_has_its_kind(site):
    kinds = {"js": "text/javascript", "css": "text/css", "html": "text/html"}
    for address in ADDRESSES:
        suffix = address.rpartition(".")[2] if "." in address else "html"
        assert site.get(address).headers["content-type"] == f"{kinds[suffix]}; charset=utf-8"


def test_whatever_the_pages_ask_for_is_there(site):
    named, imported = set(), set()
    for name in FILES:
        text = (FOLDER / name).read_text()
        named |= set(re.findall(r'(?:src|href)="(playground/[^"]+)"', text))
        imported |= {f"playground/{found}" for found in re.findall(r'from "\./([^"]+)"', text)}
    assert imported <= named, "a browser need not read one script to hear of the next"
    assert named == {address[1:] for address in ADDRESSES if address != "/"}, (
        "nothing is missing, and nothing is left over"
    )


def test_all_of_it_is_small(site):
    came = [site.get(address, headers={"accept-encoding": "gzip"}) for address in (*ADDRESSES, "/docs")]
    assert {one.status_code for one in came} == {200}
    assert sum(int(one.headers["content-length"]) for one in came) < 40_000, "bytes as they travel"


@pytest.mark.parametrize(
    "file", ["index.html", "docs.html", "nothing.js", "..%2Froutes.py", "%2e%2e", "routes.py"]
)
def test_other_files_are_not_served(site, file):
    assert "the playground is at /" in refused(site.get(f"/playground/{file}"), 404, "unknown_route")


def test_the_page_is_there_when_no_model_is(tmp_path):
    site = Site(Models(Settings(models=tmp_path / "nowhere")))
    assert site.get("/").status_code == 200


def test_what_is_answered_is_what_the_openapi_paths_say(site):
    for path, file in (("/", ""), ("/playground/{file}", "playground.js"), ("/playground/{file}", "none")):
        response = site.get(path.format(file=file))
        described = document(pages.ROUTES, Settings())["paths"][path]["get"]["responses"][
            str(response.status_code)
        ]
        assert response.headers["content-type"].split(";")[0] in described["content"]
        assert set(described.get("headers", {})) <= set(response.headers)
