"""The folders of the packages, as they are: `python -m tests.architecture [CHECKOUT]` prints modules, lines and imports."""

import ast
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("service", "training", "ganserve")


def files(package: str, root: Path = ROOT) -> dict[str, Path]:
    """Every module of `package` and its file; a folder's __init__.py has the folder's name."""
    paths = sorted((root / package).rglob("*.py"))
    names = (".".join(path.relative_to(root).with_suffix("").parts) for path in paths)
    return {name.removesuffix(".__init__"): path for name, path in zip(names, paths, strict=True)}


def imports(package: str, root: Path = ROOT) -> dict[str, set[str]]:
    """What each module of `package` imports, functions' own imports included."""
    found: dict[str, set[str]] = {}
    for module, path in files(package, root).items():
        names = found.setdefault(module, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}: relative import"
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def inside(package: str, root: Path = ROOT) -> dict[str, set[str]]:
    """The same, of modules of `package` only, by module."""
    found = imports(package, root)
    return {module: {owner(name, found) for name in names} - {"", package} for module, names in found.items()}


def owner(name: str, modules: Iterable[str]) -> str:
    """The innermost of these modules and packages that has `name`; none: an empty string."""
    return max((module for module in modules if f"{name}.".startswith(f"{module}.")), key=len, default="")


def folders(package: str, root: Path = ROOT) -> dict[Path, list[Path]]:
    """Every folder of `package`, and its modules."""
    found: dict[Path, list[Path]] = {}
    for path in files(package, root).values():
        found.setdefault(path.parent, []).extend([path] * (path.name != "__init__.py"))
    return found


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _place(module: str, path: Path) -> str:
    """Its folder; of those that lie at the top of a package, the module itself."""
    package, _, rest = module.partition(".")
    is_folder = path.name == "__init__.py"
    return rest if is_folder or "." not in rest else rest.rpartition(".")[0] or package


def show(package: str, root: Path) -> None:
    """Print a row per folder and module at the top: modules, lines, and which others it imports."""
    paths, rows = files(package, root), {}
    for module, names in inside(package, root).items():
        place = _place(module, paths[module])
        count, length, arrows = rows.get(place, (0, 0, set()))
        arrows = arrows | {_place(name, paths[name]) for name in names} - {place}
        rows[place] = (count + (paths[module].name != "__init__.py"), length + lines(paths[module]), arrows)
    print(
        f"\n{package}/: {sum(row[0] for row in rows.values())} modules, {sum(row[1] for row in rows.values())} lines"
    )
    for place, (count, length, arrows) in sorted(rows.items()):
        if place:
            print(f"  {place:22} {count:3} {length:6}  {' '.join(sorted(arrows))}")


if __name__ == "__main__":
    checkout = Path(sys.argv[1]) if sys.argv[1:] else ROOT
    for one in PACKAGES:
        show(one, checkout)
    sizes = {path: lines(path) for one in PACKAGES for path in files(one, checkout).values()}
    print("\nThe longest files:")
    for path in sorted(sizes, key=sizes.__getitem__, reverse=True)[:12]:
        print(f"  {sizes[path]:4}  {path.relative_to(checkout)}")
