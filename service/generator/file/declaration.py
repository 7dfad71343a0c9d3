"""What is wrong with a declaration of inputs, in words."""

from collections.abc import Sequence

from service.generator.file.inputs import NAME, ROLES, TAKEN, Input


def faults(inputs: Sequence[Input], z_dim: int, classes: int | None) -> list[str]:
    """What is wrong with a declaration. classes: how many there are; None of an unconditional generator."""
    found = []
    names = [one.name for one in inputs]
    if len(set(names)) < len(names) or not all(map(NAME.fullmatch, names)):
        found.append("names of inputs are letters, digits, _ and ., each once")
    roles = [one.role for one in inputs]
    labels = roles.count("label") + roles.count("class_weights")
    if not inputs or roles[0] not in ("z", "image") or labels != int(classes is not None):
        found.append(
            "the first input is z, or an image, and there is one label if there are classes, else none"
        )
    if roles.count("image") > 1 or "image" in names:
        found.append("one input at most is an image, and none is called image, as the output is")
    if (size := sum(one.size for one in inputs if ROLES[one.role].is_z)) != z_dim:
        found.append(f"z_dim is {z_dim}, and z, noise and image have {size} numbers")
    for one in inputs:
        if one.role == "class_weights":
            if one.shape != [classes]:
                found.append(f"input {one.name}: class_weights have the shape [{classes}], one a class")
        elif one.role == "image":
            if len(one.shape) != 3 or one.shape[0] not in (1, 3, 4) or max(one.shape) > 4096:
                found.append(f"input {one.name}: an image has 1, 3 or 4 channels, a height and a width")
            if one.law != "normal":
                found.append(f"input {one.name}: an image has no law")
        elif one.role == "text":
            wrong = one.reading.faults() if len(one.shape) == 1 else ["a text has the shape [tokens]"]
            found += [f"input {one.name}: {fault}" for fault in wrong]
        elif (one.role in ("z", "noise")) != bool(one.shape):
            found.append(f"input {one.name}: z and noise have a shape, {one.role} has none")
        given = [value for value in (one.low, one.high, one.default) if value is not None]
        if one.law == "whole" and one.role != "code":
            found.append(f"input {one.name}: only a code has the law whole")
        if one.role == "code":
            found += _faults_of_code(one)
        elif one.role != "scalar":
            if given:
                found.append(
                    f"input {one.name}: only a scalar has low, high and default, and a code low and high"
                )
        elif len(given) < 3 or not -1e9 <= one.bounds[0] <= one.bounds[2] <= one.bounds[1] <= 1e9:
            found.append(f"input {one.name}: a scalar has low <= default <= high")
        elif one.name in TAKEN:
            found.append(
                f"input {one.name}: a scalar can't be called that, which requests call something else"
            )
    if roles.count("text") > 1:
        found.append("one input at most is a text")
    return found


def _faults_of_code(one: Input) -> list[str]:
    if (
        one.low is None
        or one.high is None
        or one.default is not None
        or not -1e9 <= one.low < one.high <= 1e9
    ):
        return [f"input {one.name}: a code has low < high, and no default"]
    if one.law == "whole" and (one.low != 0 or one.high % 1 or one.high >= 2**16):
        return [f"input {one.name}: a code that is whole has low 0 and a whole high, below 65,536"]
    if one.name in TAKEN:
        return [f"input {one.name}: a code can't be called that, which requests call something else"]
    return []
