"""What /openapi.json says of /v1/interpolations and /v1/arithmetic."""

from service.drawing.arithmetic import ArithmeticRequest, Term
from service.drawing.interpolation import InterpolationRequest
from service.drawing.sampler import JsonReply
from service.web.http.openapi_parts import (
    BODY_ERRORS,
    LABELS_HEADER,
    MODEL,
    MODEL_HEADERS,
    SAMPLING_ERRORS,
    TIMEOUT,
    TRUNCATION,
    Object,
    answer,
    body,
    json,
    media,
    operation,
    problems,
    reference,
)

STRUCTS = [InterpolationRequest, ArithmeticRequest]
"""Their schemas belong among the components; Term's comes with them."""

# By struct and field; {settings} is the server's.
FIELDS: dict[str, dict[str, str]] = {
    InterpolationRequest.__name__: {
        "model": MODEL,
        "seeds": "The points, as seeds: 2 to 32 of them.",
        "z": "The points, as rows of z_dim numbers, instead of seeds.",
        "label": "Class of all points, or a list of one a point: name in any case, slug or index. A generator takes whole classes only, so where two points differ the class changes half way between them. Absent: a seed's own class, seed mod K; for z, class 0. A list without seeds and z: the same z through these classes.",
        "seed": "With a list of labels and neither seeds nor z: the one seed of all points; by default drawn below 2^32, and returned.",
        "steps": "Images from one point to the next, both ends counted; a point that two stretches share is one image. The whole way has at most {settings.max_images_per_request} images.",
        "path": "`spherical` (White 2016) keeps the length of z, as the generator knows it; `linear` is the straight line of Goodfellow et al. 2014, figure 3, whose middle is shorter. Between parallel or opposite points both are the straight line.",
        "loop": "Go on from the last point to the first, whose image is not repeated.",
        "truncation": TRUNCATION,
        "format": "`png` and `webp`: the images in one row (WebP at most 16,383 pixels wide). `gif`: one after another, for ever; 256 colours a frame. `npy`: uint8 [n, H, W, C]. `json`: each image with its label, its seed if it is one's own, and its z, which posted to /v1/samples gives the same image.",
        "frame_milliseconds": "How long format gif shows each image, to the nearest 10; the same image twice is one, for twice as long.",
        "timeout": TIMEOUT,
    },
    ArithmeticRequest.__name__: {
        "terms": "What is added: 1 to 16 terms, not all with weight 0.",
        "model": MODEL,
        "label": "Class of the sum: name in any case, slug or index; by default the first term's, else 0.",
        "normalize": "Scale the sum to length sqrt(z_dim), which the generator knows; false: leave it as it is. Terms that cancel out have no direction to scale: 422.",
        "truncation": "z is multiplied by it, after the sum was scaled: less variety, more typical images.",
        "format": "`png` and `webp`: the images in one row. `npy`: uint8 [n, H, W, C]. `json`: each image with its label, its seed if it is one's own, and its z, which posted to /v1/samples gives the same image.",
        "include_terms": "The picture of each term's average first, the sum's last, as in figure 7 of Radford et al. 2016. Averages of several seeds are scaled as the sum is; a term of one seed is that seed's own image.",
        "timeout": TIMEOUT,
    },
    Term.__name__: {
        "weight": "What the term's average is multiplied by: any finite number.",
        "seeds": "Seeds whose z are averaged: 1 to 64; three make a steadier direction than one.",
        "label": "Class of the term's own picture; by default the sum's. It has no part in the sum, which is of z alone.",
    },
}

_INTERPOLATION_HEADERS = MODEL_HEADERS | {
    "ganserve-seeds": "Seeds of the points, or the one seed of all; absent where z was given.",
    "ganserve-labels": "Class indexes of the points, or the one class of all; absent for an unconditional model.",
}


def _images(*kinds: str, headers: dict[str, str]) -> Object:
    content = media(*kinds) | json(reference(JsonReply.__name__))
    return {"200": answer("The images, in the format asked for.", content, headers)} | problems(
        SAMPLING_ERRORS + BODY_ERRORS
    )


PATHS: Object = {
    "/v1/interpolations": {
        "post": operation(
            "Images on the way between two or more",
            _images(
                *("image/png", "image/webp", "image/gif", "application/x-npy"),
                headers=_INTERPOLATION_HEADERS,
            ),
            "From point to point through z, in equal steps. The images share forward passes, limits and errors "
            "with those of /v1/samples.",
            requestBody=body(
                InterpolationRequest.__name__,
                between_two_seeds={"seeds": [1, 2], "label": "Sneaker", "steps": 8},
                a_loop_that_plays={"seeds": [1, 2, 3], "label": 9, "loop": True, "format": "gif"},
                one_z_through_three_classes={"label": [5, 7, 9], "seed": 4, "steps": 2},
            ),
        )
    },
    "/v1/arithmetic": {
        "post": operation(
            "Sums of images, in z",
            _images("image/png", "image/webp", "application/x-npy", headers=MODEL_HEADERS | LABELS_HEADER),
            "Weighted sums of averaged z (Radford et al. 2016, section 6.3.2). The images share forward passes, "
            "limits and errors with those of /v1/samples.",
            requestBody=body(
                ArithmeticRequest.__name__,
                a_minus_b_plus_c={
                    "terms": [
                        {"weight": 1, "seeds": [1, 2, 3]},
                        {"weight": -1, "seeds": [4, 5, 6]},
                        {"weight": 1, "seeds": [7, 8, 9]},
                    ],
                    "label": "Sneaker",
                    "include_terms": True,
                },
            ),
        )
    },
}
