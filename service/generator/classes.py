"""Names of classes: which can be served, how addresses write them, and how a class is found by its name.

One rule for everyone who takes names in: `training prepare`, `export`, `ganserve import`, and the service.
"""

import codecs
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

MOST_BYTES = 200
"""Of a name as addresses and file names write it, in UTF-8."""
_SIGNS = {"+": " plus ", "#": " sharp "}
_SIGN = re.compile(r"(?<=[\w+#])[+#]")
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
# What turns writing around or takes no room, Unicode's Default_Ignorable_Code_Point. What joins or shapes letters, which scripts
# and emoji need, may follow what is of Hebrew or a later block: none of the alphabets before has a use for it. Nor have letters for
# what makes a sign an emoji.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff"
    "\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    "|(?<![\u0590-\U0010ffff])[\u180b-\u180d\u180f\u200c\u200d]|(?<![\u203c-\u2fff\U0001f000-\U0001faff])\ufe0f"
)


def text_of(file: bytes) -> str:
    """What a file with names in it says: in UTF-8, or in UTF-16 that begins with its mark, as Excel writes it.

    Raises ValueError, with what to do.
    """
    is_wide = file.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = file.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError("neither UTF-8 nor UTF-16 with its mark: save it as UTF-8")
    return text


def folded(name: str) -> str:
    """By which names are compared: case, width, composition of letters and spaces around make no other name."""
    compatible = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(unicodedata.normalize("NFKC", compatible).split())


def slug(name: str) -> str:
    """`T-shirt/top` -> `t-shirt-top`: the letters and digits of every script, joined by hyphens; `C++` -> `c-plus-plus`."""
    spoken = _SIGN.sub(lambda sign: _SIGNS[sign[0]], folded(name))
    # Vowel signs and accents are marks of their own in many scripts.
    kept = (c if c == "_" or unicodedata.category(c)[0] in "LNM" else " " for c in spoken)
    return "-".join("".join(kept).split()).strip("-_")


def fault(name: str) -> str:
    """What keeps a name from being written into addresses and files, with what to do; empty if nothing does."""
    own = slug(name)
    if any(unicodedata.category(c) in _UNPRINTABLE for c in name):
        return f"{name!r}, has a line break or another character that can't be printed: write it without"
    if _UNSEEN.search(name):
        return f"{name!a}, has a character that can't be seen: write it without"
    if not any(unicodedata.category(c)[0] in "LN" for c in own):
        return f"'{name}', has neither a letter nor a digit: write it out"
    too_long = len(own.encode()) > MOST_BYTES
    return f"'{name[:40]}...', is longer than {MOST_BYTES} bytes: shorten it" if too_long else ""


@dataclass(frozen=True)
class ClassNames:
    """The names of a model's classes, in the order of the labels."""

    names: tuple[str, ...]

    @cached_property
    def slugs(self) -> list[str]:
        """As addresses write them."""
        return [slug(name) for name in self.names]

    @cached_property
    def label_of(self) -> dict[str, int]:
        """Label by folded name and by slug."""
        return {one: i for i, one in enumerate(self.slugs)} | {
            folded(name): i for i, name in enumerate(self.names)
        }

    @cached_property
    def faults(self) -> list[str]:
        """What keeps them from being served, each with what to do; two that clash are named together."""
        found, first = [], dict[str, int]()
        for i, (name, own) in enumerate(zip(self.names, self.slugs, strict=True)):
            if why := fault(name):
                found.append(f"class {i}, {why}")
            elif (other := first.setdefault(own, i)) != i and folded(name) == folded(self.names[other]):
                alike = f", as '{self.names[other]}' is the same" if self.names[other] != name else ""
                found.append(f"classes {other} and {i} have one name, '{name}': rename one{alike}")
            elif other != i:
                found.append(
                    f"classes {other} and {i}, '{self.names[other]}' and '{name}', are both '{own}' in addresses: "
                    "rename one"
                )
        return found

    def refusal(self) -> str | None:
        """The faults as one text, the first of them if there are many; None if there are none."""
        more = len(self.faults) - 5
        return "; ".join(self.faults[:5]) + (f"; and {more} more" if more > 0 else "") or None
