import httpx
import pytest

from tests.service.web.site import Site, refused


def versioned(site: Site, rest: str, model: str = "tiny") -> str:
    return f"/v1/models/{model}@{site.front.models[model].version}/images/{rest}"


def led_to(response: httpx.Response) -> str:
    """Path and query of where a client goes next."""
    return response.request.url.join(response.headers["location"]).raw_path.decode()


def test_an_image_address_leads_to_the_versioned_one_which_is_cached_for_ever(site):
    first = site.get("/v1/models/tiny/images/t-shirt-top/12.png?truncation=0.5")
    assert (first.status_code, first.headers["cache-control"]) == (307, "no-cache")
    assert led_to(first) == versioned(site, "t-shirt-top/12.png?truncation=0.5")
    image = site.get(led_to(first))
    assert image.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert image.headers["content-type"] == "image/png"
    assert image.headers["etag"].startswith('"')
    assert image.content == site.samples(seed=12, label=0, truncation=0.5).content
    assert image.headers["ganserve-seeds"] == "12"


@pytest.mark.parametrize("label", ["T-shirt%2Ftop", "t-shirt-top", "T-SHIRT-TOP", "0"])
def test_every_spelling_of_a_class_leads_to_one_address(site, label):
    response = site.get(f"/v1/models/tiny/images/{label}/12.webp")
    assert led_to(response) == versioned(site, "t-shirt-top/12.webp")


@pytest.mark.parametrize("query", ["truncation=0.50", "truncation=.5", "truncation=5e-1"])
def test_every_spelling_of_a_truncation_leads_to_one_address(site, query):
    response = site.get(f"/v1/models/tiny/images/0/1.png?{query}")
    assert led_to(response) == versioned(site, "t-shirt-top/1.png?truncation=0.5")


def test_without_a_label_the_class_is_the_seed_mod_k(site):
    assert led_to(site.get("/v1/models/tiny/images/23.png")) == versioned(site, "23.png")
    image = site.get(versioned(site, "23.png"))
    assert image.headers["ganserve-labels"] == "3"
    assert image.content == site.samples(seed=23).content


def test_an_unconditional_model_has_images_by_seed_only(site):
    assert site.get(versioned(site, "3.png", "bare")).content == site.samples(model="bare", seed=3).content
    refused(site.get(versioned(site, "bag/3.png", "bare")), 422, "invalid_field", "label")


def test_a_client_that_has_the_image_is_told_so(site):
    address = versioned(site, "bag/12.png")
    etag = site.get(address).headers["etag"]
    for tag in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        response = site.get(address, headers={"if-none-match": tag})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == etag
        assert "immutable" in response.headers["cache-control"]
    assert site.get(address, headers={"if-none-match": '"other"'}).status_code == 200


def test_different_images_have_different_tags(site):
    names = ["bag/12.png", "bag/12.webp", "bag/13.png", "coat/12.png", "bag/12.png?truncation=0.5", "12.png"]
    tags = {site.get(versioned(site, name)).headers["etag"] for name in names}
    tags.add(site.get(versioned(site, "bag/12.png", "colour")).headers["etag"])
    assert len(tags) == 7


@pytest.mark.parametrize(
    ("rest", "status", "code", "field"),
    [
        ("bag/x.png", 404, "unknown_route", None),
        ("bag/1.gif", 404, "unknown_route", None),
        ("bag/1.", 404, "unknown_route", None),
        ("bag/1.png?quality=50", 422, "invalid_field", "quality"),
        ("bag/1.jpg?quality=101", 422, "invalid_field", "quality"),
        ("bag/1.jpg?quality=-1", 422, "invalid_field", "quality"),
        ("bag/1.avif?quality=5&quality=6", 422, "invalid_field", "quality"),
        ("bag/-1.png", 404, "unknown_route", None),
        ("bag/٣.png", 404, "unknown_route", None),
        ("bag/1.png/", 404, "unknown_route", None),
        ("a/b/1.png", 404, "unknown_route", None),
        ("bag/9007199254740992.png", 422, "invalid_field", "seed"),
        ("bag/99999999999999999.png", 404, "unknown_route", None),
        ("shoe/1.png", 422, "invalid_field", "label"),
        ("%FF%00/1.png", 422, "invalid_field", "label"),
        ("bag/1.png?truncation=0", 422, "invalid_field", "truncation"),
        ("bag/1.png?truncation=nan", 422, "invalid_field", "truncation"),
        ("bag/1.png?truncation=", 422, "invalid_field", "truncation"),
        ("bag/1.png?truncation=0.5&truncation=0.6", 422, "invalid_field", "truncation"),
        ("bag/1.png?trunc=0.5", 422, "invalid_field", "trunc"),
        ("bag/1.png?truncation=0.5&a=b", 422, "invalid_field", "a"),
        ("bag/1.png?nonsense", 422, "invalid_field", "nonsense"),
    ],
)
def test_an_address_of_no_image_says_why(site, rest, status, code, field):
    for model in ("tiny", f"tiny@{site.front.models['tiny'].version}"):
        refused(site.get(f"/v1/models/{model}/images/{rest}"), status, code, field)


@pytest.mark.parametrize("model", ["none", "tiny@000000000000", "tiny@", "%2e%2e", "..%2f..%2fetc", "@"])
def test_an_address_of_no_model_is_not_found(site, model):
    refused(site.get(f"/v1/models/{model}/images/bag/1.png"), 404, "unknown_model")
