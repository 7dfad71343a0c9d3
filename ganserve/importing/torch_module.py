"""A PyTorch module -> an ONNX file, which then goes the way of any other. Needs torch: `ganserve[training]`."""

import importlib
import inspect
import logging
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ganserve.importing.surgery.wishes import Fault, Refused
from service.generator.contract import OPSET
from service.generator.file.reading import is_pointer

Shape = tuple[str, tuple[int, ...]]
"""Type, and the axes of one image's part."""
_TYPES = {"float32": torch.float32, "int64": torch.int64, "int32": torch.int32}
# Where a checkpoint holds more than the generator, under what it lies; averaged weights first.
_WITHIN = ("g_ema", "G_ema", "ema", "params_ema", "generator", "netG", "G", "state_dict", "model", "params")
_PREFIXES = ("module.", "_orig_mod.", "generator.", "netG.", "G.")


def to_onnx(
    factory: str, weights: Path | None, config: Mapping[str, Any], shapes: Mapping[str, Shape], out: Path
) -> list[str]:
    """Writes `out`, and returns what is to be known of it, a line each. factory: package.module:name, which returns an nn.Module. shapes: by parameter of its forward.

    config: arguments of the factory, where it has parameters of these names.
    Raises Refused: no such factory, weights that do not fit or that hold code, shapes that are not known.
    """
    module = _module(factory, config)
    if weights is not None:
        _load(module, weights)
    # Of half precision, too, whose operators no CPU's engine has: float32 holds all of its numbers.
    module.eval().requires_grad_(False).float()
    names = _parameters(module, shapes)
    example = tuple(torch.zeros(2, *shapes[name][1], dtype=_TYPES[shapes[name][0]]) for name in names)
    try:
        given = module(*example)
        if given is None:
            mend = "--torch of a module whose forward returns its images"
            raise Refused([Fault("The module's forward returns None, and no image.", mend)])
        outputs = _outputs(given, names)
    except Refused:
        raise
    except Exception as error:  # of whoever wrote the module
        what = f"The module's forward raises {type(error).__name__}: {error}"
        raise Refused([Fault(what, "--input: are the shapes right?")]) from error
    try:
        # An example batch of 1 would make the batch axis a constant.
        free = tuple({0: torch.export.Dim("N")} for _ in names)
        program = exported(module, example, names, free, outputs)
    except Exception:  # the exporter raises whatever the module's Python does to a free batch
        try:
            program = exported(module, tuple(one[:1] for one in example), names, None, outputs)
        except Exception as error:
            # Of torch's own there are pages: what it could not do is the first line of the cause.
            why = (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0]
            what = f"torch.onnx can't export the module: {why}"
            raise Refused([Fault(what, "Export it yourself, and import the ONNX file.")]) from error
    program.save(out)
    taken = inspect.signature(module.forward).parameters
    left = {
        name: one.default for name, one in taken.items() if name not in names and one.default is not one.empty
    }
    return [
        f"forward's {name} is always {value!r:.40}: `--input {name}=SHAPE` makes it an input"
        for name, value in left.items()
    ]


def _outputs(given: Any, inputs: Sequence[str]) -> list[str]:
    """What the module calls what it gives; of an unnamed tuple their places. Empty: as the exporter calls it."""
    if isinstance(given, Tensor):
        return ["image"]
    if isinstance(given, Mapping):
        found = {str(name): value for name, value in given.items()}
    elif isinstance(given, tuple | list):
        fields = getattr(given, "_fields", [f"output_{i}" for i in range(len(given))])
        found = dict(zip(fields, given, strict=True))
    else:
        return []
    if not all(isinstance(value, Tensor) for value in found.values()):
        return []
    return [f"{name}_out" if name in inputs else name for name in found]


def exported(
    module: nn.Module,
    example: tuple[Any, ...],
    names: list[str],
    free: Any,
    outputs: Sequence[str] = ("image",),
) -> torch.onnx.ONNXProgram:
    """example: a tensor per name, or lists of them, of which the axes in `free` are none of the graph's constants. Raises what torch does."""
    with _quiet():
        program = torch.onnx.export(
            module,
            example,
            input_names=names,
            output_names=outputs,
            dynamic_shapes=free,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program


def _module(factory: str, config: Mapping[str, Any]) -> nn.Module:
    place, _, name = factory.partition(":")
    here = str(Path.cwd())
    # Behind all that is installed: a folder named torch in here is not torch.
    if here not in sys.path:
        sys.path.append(here)
    try:
        make: Callable[..., Any] = getattr(importlib.import_module(place), name)
        taken = inspect.signature(make).parameters
        module = make(**{key: value for key, value in config.items() if key in taken})
    except Exception as error:  # of whoever wrote the module
        what = f"--torch {factory}: {type(error).__name__}: {error}."
        mend = "--torch package.module:factory, as it is imported from this folder"
        if isinstance(error, TypeError):
            mend += ", which needs no arguments but those in the config.json of a folder"
        raise Refused([Fault(what, mend)]) from error
    if not isinstance(module, nn.Module):
        what = f"--torch {factory} returns {type(module).__name__}, not a torch.nn.Module."
        raise Refused([Fault(what, "--torch package.module:factory")])
    return module


def _load(module: nn.Module, file: Path) -> None:
    with file.open("rb") as opened:
        if is_pointer(opened.read(64)):
            what = f"{file} is a pointer of Git LFS, not the file."
            raise Refused([Fault(what, "`git lfs pull`, in its clone, gets it.")])
    try:
        if file.suffix == ".safetensors":
            state: Any = load_file(file)
        else:
            # Tensors only: a pickle is a program, and none of it is run.
            with _quiet():
                state = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        what = f"{file} holds more than tensors, which would be run as code."
        mend = "Where you trust it: torch.save(module.state_dict(), FILE), or safetensors.torch.save_file."
        raise Refused([Fault(what, mend)]) from error
    except (OSError, RuntimeError, EOFError, SafetensorError) as error:
        # torch goes on with how to run code that may be in it.
        why = f"{error}".split(". ")[0].rstrip(".")
        if "TorchScript" in why:
            mend = (
                "torch.save(module.state_dict(), FILE), where it was made; to load TorchScript is to run it"
            )
            raise Refused([Fault(f"{file} is a program of TorchScript.", mend)]) from error
        mend = "Copy it again, if it was cut short; else --weights of the right file."
        raise Refused([Fault(f"{file} can't be read: {why}.", mend)]) from error
    faults = []
    for candidate in _candidates(state):
        try:
            module.load_state_dict(candidate)
            return
        except RuntimeError as error:
            faults.append(str(error))
    said = faults[0] if faults else "there are no tensors in it."
    raise Refused(
        [
            Fault(
                f"{file} does not fit the module: {said}", "--weights of this very module, or another factory"
            )
        ]
    )


def _candidates(state: Any) -> Iterator[dict[str, Tensor]]:
    """What could be the generator's weights: as they are, within, and without a prefix."""
    if not isinstance(state, Mapping):
        return
    for inner in (state, *(state[name] for name in _WITHIN if isinstance(state.get(name), Mapping))):
        tensors = {name: value for name, value in inner.items() if isinstance(value, Tensor)}
        if tensors:
            yield tensors
        for prefix in _PREFIXES:
            if part := {
                name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)
            }:
                yield part


def _parameters(module: nn.Module, shapes: Mapping[str, Shape]) -> list[str]:
    """Those of forward that are given, in its order; all others need a default. Raises Refused."""
    taken = inspect.signature(module.forward).parameters
    known = [name for name in taken if name in shapes]
    missing = [name for name, one in taken.items() if one.default is one.empty and name not in shapes]
    faults = [
        Fault(
            f"forward has no parameter '{name}', only {', '.join(taken)}.",
            f"--input {next(iter(taken), 'z')}=100",
        )
        for name in shapes
        if name not in taken
    ]
    for place, name in enumerate(missing):
        example = _guess(module) if name == next(iter(taken)) else "int64"
        what = f"Parameter '{name}' of forward: of what shape, for one image?"
        faults.append(Fault(what, f"--input {name}={example}" + (", a class as an index" if place else "")))
    if faults:
        raise Refused(faults)
    if list(taken)[: len(known)] != known:
        raise Refused(
            [Fault("Parameters of forward are left out before others.", "--input for each of the first ones")]
        )
    return known


def _guess(module: nn.Module) -> str:
    """By its first layer."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            return str(layer.in_features)
        if isinstance(layer, nn.ConvTranspose2d):
            return f"{layer.in_channels}x1x1"
    return "128"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's notes on itself."""
    loggers = [
        logging.getLogger("torch.onnx"),
        logging.getLogger("torch.onnx._internal.exporter._registration"),
        logging.getLogger("torch.fx.experimental.symbolic_shapes"),
    ]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
