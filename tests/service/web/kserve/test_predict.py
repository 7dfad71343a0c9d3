import numpy as np
import pytest

PATH = "/v1/models/{}:predict"


def predict(site, *instances, model="tiny", **others):
    return site.ask("POST", PATH.format(model), json={"instances": list(instances), **others})


def test_predictions_are_the_images_of_samples(site):
    response = predict(site, {"seed": 3, "label": "Sneaker"}, {"seed": 9}, parameters={"truncation": 0.5})
    assert response.status_code == 200, response.text
    found = np.array(response.json()["predictions"], np.uint8)
    assert found.shape == (2, 8, 8, 1)
    for image, asked in zip(found, ({"seed": 3, "label": 7}, {"seed": 9}), strict=True):
        npy = site.samples(**asked, truncation=0.5, format="npy").content
        np.testing.assert_array_equal(image.ravel(), np.frombuffer(npy[-64:], np.uint8))
    assert response.headers["ganserve-model"] == "tiny"


def test_z_is_as_good_as_the_seed_that_it_belongs_to(site):
    document = site.samples(seed=4, label=7, format="json", include_z=True).json()
    z = document["images"][0]["z"]
    assert predict(site, {"z": z, "label": 7}).json() == predict(site, {"seed": 4, "label": 7}).json()


def test_an_unconditional_model_takes_seeds_alone(site):
    assert predict(site, {"seed": 1}, {"seed": 2}, model="bare").status_code == 200
    assert "unconditional" in predict(site, {"seed": 1, "label": 0}, model="bare").json()["error"]


@pytest.mark.parametrize(
    ("instances", "says"),
    [
        ([], "0 instances"),
        ([{"seed": 1}] * 65, "65 instances"),
        ([{}], "must have a seed"),
        ([{"seed": 1}, {"z": [0.0] * 8}], "must have a seed"),
        ([{"seed": 1, "label": "dog"}], "no class"),
        ([{"z": [0.0]}], "z_dim"),
        ([{"seeds": 1}], "allowed are seed, label, z"),
        ([{"seed": -1}], "instances[0].seed"),
        ([7], "instances[0]"),
    ],
)
def test_what_is_wrong_is_an_error_text(site, instances, says):
    response = predict(site, *instances)
    assert response.status_code == 400
    assert says in str(response.json()["error"]), response.text


def test_readiness_is_where_the_protocol_has_it(site):
    card = site.get("/v1/models/tiny").json()
    assert (card["name"], card["ready"]) == ("tiny", True)
    assert predict(site, {"seed": 1}, model="none").status_code == 404
    assert site.get(PATH.format("tiny")).status_code == 405
