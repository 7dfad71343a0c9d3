"""Every figure of `evaluate` in words: cards, tables in a terminal and comparisons read them here."""

from typing import NamedTuple

# Of the figures that count neighbours.
NEIGHBOURS = 5


class About(NamedTuple):
    title: str
    better: str
    """higher, lower, as the floor; empty: it is none of its own."""
    digits: int
    paper: str
    unit: str = ""

    @property
    def heading(self) -> str:
        return f"{self.title}, {self.unit}" if self.unit else self.title


_COVERAGE = "Naeem et al. 2020, arXiv 2002.09797"
_PRECISION = "Kynkäänniemi et al. 2019, arXiv 1904.06991"
_PARZEN = "Goodfellow et al. 2014, arXiv 1406.2661"

# In the order shown.
# fmt: off
FIGURES = {
    "frechet_distance":             About("Fréchet distance", "lower", 4, "Heusel et al. 2017, arXiv 1706.08500"),
    "frechet_infinity":             About("Fréchet distance, n → ∞", "lower", 4, "Chong and Forsyth 2020, arXiv 1911.07023"),
    "intra_class_frechet_distance": About("Fréchet distance within a class", "lower", 4, "Miyato and Koyama 2018, arXiv 1802.05637"),
    "kernel_distance":              About("kernel distance", "lower", 5, "Bińkowski et al. 2018, arXiv 1801.01401"),
    "inception_score":              About("Inception Score", "higher", 2, "Salimans et al. 2016, arXiv 1606.03498"),
    "class_accuracy":               About("class accuracy", "higher", 4, "Odena et al. 2017, arXiv 1610.09585"),
    "precision":                    About(f"precision, k={NEIGHBOURS}", "higher", 3, _PRECISION),
    "recall":                       About(f"recall, k={NEIGHBOURS}", "higher", 3, _PRECISION),
    "density":                      About(f"density, k={NEIGHBOURS}", "higher", 3, _COVERAGE),
    "coverage":                     About(f"coverage, k={NEIGHBOURS}", "higher", 3, _COVERAGE),
    "in_class_diversity":           About("distance within a class over real", "as the floor", 3, ""),
    "least_class_diversity":        About("the same of the least varied class", "as the floor", 3, ""),
    "in_class_similarity":          About("MS-SSIM within a class", "as the floor", 3, "Odena et al. 2017, arXiv 1610.09585"),
    "usefulness":                   About("accuracy of a classifier trained on them", "higher", 4, "Ravuri and Vinyals 2019, arXiv 1905.10887"),
    "parzen_log_likelihood":        About("Parzen log-likelihood", "higher", 1, _PARZEN, "nats"),
    "parzen_sigma":                 About("Parzen window, by validation", "", 2, _PARZEN),
    "nearest_median":               About("nearest training image, median", "as the floor", 1, _PARZEN, "grey levels"),
    "nearest_lowest_percent":       About("nearest training image, 1st percentile", "as the floor", 1, _PARZEN, "grey levels"),
}
# fmt: on
