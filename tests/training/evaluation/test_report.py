import io

from rich.console import Console

from training.evaluation.report import markdown, print_tables

EVALUATION = {
    "dataset": "garments",
    "images": 10_000,
    "origin": {"engine": "openvino", "precision": "fp32"},
    "verdicts": [
        {
            "judge": {"architecture": "plain", "seed": 0, "images": 360_000},
            "test_accuracy": 0.9271,
            "figures": {
                "class_accuracy": {"value": 0.94, "floor": 0.9271, "images": 10_000},
                "frechet_distance": {
                    "value": 6.0,
                    "floor": 1.5,
                    "images": 10_000,
                    "standard_error": 0.2,
                    "spread": 0.3,
                    "floor_spread": 0.1,
                },
            },
        }
    ],
    "memory": {"nearest_median": {"value": 30.0, "floor": 31.6, "images": 2_000}},
    "notes": ["Something to know."],
}


def test_the_table_shows_each_figure_with_its_floor_and_sample_size():
    console = Console(file=io.StringIO(), width=140)
    print_tables(EVALUATION, console)
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    (distance,) = [line for line in text.splitlines() if line.startswith("│ Fréchet")]
    assert [cell.strip() for cell in distance.strip("│").split("│")] == [
        "Fréchet distance", "6.0000 ± 0.3000 [0.2000] (4.0 x floor)", "1.5000 ± 0.1000", "lower", "10,000",
    ]  # fmt: skip
    assert "engine openvino, precision fp32" in text
    assert "92.7 % right on real held-out images" in text
    assert "Note: Something to know." in text


def test_markdown_has_the_same_rows_in_the_same_order():
    rows = [line for line in markdown(EVALUATION).splitlines() if line.startswith("| ") and "---" not in line]
    assert [row.split("|")[1].strip() for row in rows] == [
        "figure", "Fréchet distance", "class accuracy", "figure", "nearest training image, median, grey levels",
    ]  # fmt: skip
    paper = "Heusel et al. 2017, arXiv 1706.08500"
    found = "6.0000 ± 0.3000 [0.2000] (4.0 x floor) | 1.5000 ± 0.1000"
    assert rows[1] == f"| Fréchet distance | {found} | lower | 10,000 | {paper} |"


def test_several_judges_stand_side_by_side_and_classes_in_a_table_of_each():
    def verdict(architecture, distance, variety):
        figures = EVALUATION["verdicts"][0]["figures"] | {
            "frechet_distance": {"value": distance, "floor": 2.0, "images": 9}
        }
        by_class = {name: {"value": value, "floor": 1.0, "images": 9} for name, value in variety.items()}
        return {
            "judge": {"architecture": architecture, "seed": 0}, "train_accuracy": 0.93,
            "unseen_accuracy": 0.925, "test_accuracy": 0.92,
            "figures": figures, "class_accuracies": by_class, "class_diversities": by_class,
        }  # fmt: skip

    both = [verdict("mixer", 4.0, {"Bag": 0.9}), verdict("plain", 5.0, {"Bag": 0.7})]
    text = markdown(EVALUATION | {"verdicts": both})
    assert "| figure | 'mixer' | 'plain' |" in text
    assert "| Fréchet distance, over the floor | 2.0 | 2.5 |" in text
    assert "| Bag | 0.700 (1.000) | 0.700 (1.000) |" in text
    words = "92.0 % right on real held-out images, 93.0 % on those it was trained on, 92.5 % on the half that it never saw"
    assert words in text


def test_a_figure_with_a_standard_error_shows_it():
    likelihood = {"value": 225.0, "floor": 300.0, "images": 9000, "standard_error": 2.04}
    table = markdown(EVALUATION | {"pixels": {"parzen_log_likelihood": likelihood}})
    assert "| Parzen log-likelihood, nats | 225.0 [2.0] | 300.0 | higher | 9,000 |" in table


def test_a_floor_of_zero_is_not_divided_by():
    figures = {"frechet_distance": {"value": 6.0, "floor": 0.0, "images": 30}}
    verdict = EVALUATION["verdicts"][0] | {"figures": figures}
    assert "| 6.0000 | 0.0000 |" in markdown(EVALUATION | {"verdicts": [verdict]})
