"""Every refusal of a file says what was seen and what to do about it: all of them are read off the code."""

import ast
import re
from collections.abc import Iterator

import pytest

from service import errors
from tests.architecture import ROOT

_ROOMS = ("service/generator", "service/registry", "ganserve/importing", "training/export")
_BEGINS = re.compile(
    r"[`-]|\.\.\. |(copy|download|unpack|write|export|take|train|import|serve|rename|reload|give|sign|put|change|look|use|set|"
    r"try|pip|python|torch|leave|report|mend|where|is it|save)\b",
    re.IGNORECASE,
)
"""An option, a command, or what to do."""


def _text(node: ast.expr, named: dict[str, str]) -> str:
    """What is known of a text before the program runs; nothing where it is computed."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name):
            return named.get(name, "")
        case ast.JoinedStr(values=parts):
            return "".join(_text(part, named) for part in parts)
        case ast.FormattedValue(value=value):
            return _text(value, named) or "..."
        case ast.BinOp(left=left) | ast.IfExp(body=left):
            return _text(left, named)
    return ""


def _refusals() -> Iterator[tuple[str, ast.Call, str]]:
    """Where each stands, the call that makes it, and what is known of its mend."""
    for room in _ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            tree = ast.parse(path.read_text("utf-8"))
            named = {name: text for name, text in vars(errors).items() if isinstance(text, str)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    named[node.targets[0].id] = _text(node.value, named)
            for node in ast.walk(tree):
                kinds = {"ContractError", *["Fault"] * (room == "ganserve/importing")}
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
                    mend = _text(node.args[1], named) if len(node.args) > 1 else ""
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node, mend


REFUSALS = {place: (call, mend) for place, call, mend in _refusals()}


def test_most_of_them_are_known_without_a_run():
    assert len(REFUSALS) > 140
    assert sum(bool(mend) for _, mend in REFUSALS.values()) > 0.9 * len(REFUSALS)


@pytest.mark.parametrize("place", REFUSALS)
def test_a_refusal_names_what_to_do(place):
    call, mend = REFUSALS[place]
    assert len(call.args) == 2
    assert not mend or (_BEGINS.match(mend) and len(mend.split()) > 1), mend


def test_the_text_of_a_refusal_is_both():
    refusal = errors.ContractError("z changes nothing", "take another checkpoint")
    assert f"{refusal}" == "z changes nothing; take another checkpoint"
