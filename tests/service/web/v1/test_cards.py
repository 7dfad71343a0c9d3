from tests.generators import CLASSES
from tests.service.web.site import refused


def test_models_are_listed_as_openai_lists_them(site):
    document = site.get("/v1/models").json()
    assert document["object"] == "list"
    assert [card["id"] for card in document["data"]] == ["bare", "colour", "tiny"]
    assert {(card["object"], card["owned_by"], card["state"]) for card in document["data"]} == {
        ("model", "ganserve", "ready")
    }
    assert all(card["created"] > 1_600_000_000 for card in document["data"])


def test_a_card_says_what_a_model_is_what_runs_it_and_how_true_it_is(site):
    card = site.get("/v1/models/tiny").json()
    assert card["classes"] == list(CLASSES)
    assert card["slugs"][0] == "t-shirt-top"
    assert card["z_dim"] == 8
    assert card["image"] == {"channels": 1, "height": 8, "width": 8}
    assert card["engine"]["name"] == "openvino"
    assert "openvino on CPU" in card["engine"]["reason"]
    assert card["verified"] is False, "it came without a card of its own"
    assert card["golden"]["samples"] == 4
    assert card["golden"]["max"] <= 1
    assert site.get(f"/v1/models/tiny@{card['version']}").json() == card
    assert site.get("/v1/models/bare").json()["classes"] is None
    refused(site.get("/v1/models/none"), 404, "unknown_model")
