"""What was noticed while pictures were read: counted, and said in one line per kind."""

from collections import Counter, defaultdict

# Of what was left out a person wants every name; of what was turned to another form, where to look.
SHOWN, SHOWN_LEFT_OUT = 3, 50
LEFT_OUT = "left out, "


class Notes:
    """Names of pictures by kind: `noted("transparent, laid on white", "cat/1.png")`."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = defaultdict(list)
        self._counts: Counter[str] = Counter()

    def noted(self, kind: str, name: str, count: int = 1) -> None:
        """count: of pictures that go by one name."""
        self._names[kind].append(name)
        self._counts[kind] += count

    def left_out(self, why: str, name: str, count: int = 1) -> None:
        self.noted(LEFT_OUT + why, name, count)

    def join(self, others: "Notes") -> None:
        for kind, names in others._names.items():
            self._names[kind] += names
        self._counts += others._counts

    def lines(self) -> list[str]:
        """`left out, damaged: 2 (cat/1.png, dog/7.png)`; what was left out stands first."""
        kinds = sorted(self._names, key=lambda kind: not kind.startswith(LEFT_OUT))
        return [f"{kind}: {self._counts[kind]:,} ({self._some(kind)})" for kind in kinds]

    def left_out_lines(self) -> list[str]:
        return [line for line in self.lines() if line.startswith(LEFT_OUT)]

    def _some(self, kind: str) -> str:
        names = self._names[kind]
        most = SHOWN_LEFT_OUT if kind.startswith(LEFT_OUT) else SHOWN
        more = f", and {len(names) - most:,} more" if len(names) > most else ""
        return ", ".join(map(printable, names[:most])) + more


def printable(name: str) -> str:
    """A file's name on one line, whatever bytes it has."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
