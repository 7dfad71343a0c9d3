"""The service and the training package, as commands that work in any folder.

Neither is a package beside the user's own: they lie in ganserve/_app of a wheel, and beside ganserve/ in the repository. A
process gets that folder in front of all others and leaves the current one out, where a service.py or training.py may be
the user's; what it starts inherits both.
"""

import ipaddress
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import click

_HERE = Path(__file__).resolve().parent
APP = _HERE / "_app" if (_HERE / "_app").is_dir() else _HERE.parent
"""The folder of service/, training/ and models/."""
_BY_EXTRA = {
    "serve": ("bentoml", "msgspec", "onnx", "onnxruntime", "prometheus_client"),
    "training": (
        *("matplotlib", "onnx", "onnxruntime", "onnxscript", "rich", "safetensors", "sklearn", "scipy"),
        *("tensorboard", "threadpoolctl", "torch", "torchmetrics"),
    ),
}
"""What each extra of pyproject.toml brings and its commands can't do without."""
FILES = (
    *("GANSERVE_API_KEYS_FILE", "GANSERVE_FAKE_FAULTS", "GANSERVE_SIGNING_KEY"),
    *("GANSERVE_CREDENTIALS_CERTIFICATE", "GANSERVE_CREDENTIALS_KEY"),
)


class NotInstalled(click.ClickException):
    exit_code = 2


class AnyWords(click.Command):
    """All that follows belongs to another command line."""

    def __init__(self, name: str, code: str, extra: str, help: str, without: str = "") -> None:
        """without: the option that does without the extra."""

        def run(words: tuple[str, ...]) -> None:
            if not (without and any(word.partition("=")[0] == without for word in words)):
                _need(extra)
            _become(["-c", code, *words], _environment())

        super().__init__(
            name,
            callback=run,
            params=[click.Argument(["words"], nargs=-1, type=click.UNPROCESSED, metavar="...")],
            help=help,
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
        )


training = AnyWords(
    "training",
    "from training.__main__ import main; main(prog_name='ganserve training')",
    "training",
    "Make a generator: prepare, train, sample, evaluate, export and more.",
)
train = AnyWords(
    "train",
    "import sys; from training.__main__ import main; main(['train', *sys.argv[1:]], prog_name='ganserve')",
    "training",
    "Short for `ganserve training train`.",
)
admin = AnyWords(
    "admin",
    "import sys; from service.admin import main; main(sys.argv[1:], 'ganserve admin')",
    "serve",
    "Orders to a server of this user's on this machine: reload, direct, retire, drain.",
)
import_ = AnyWords(
    "import",
    "from ganserve.importing.command import import_command; import_command(prog_name='ganserve import')",
    "serve",
    "Make a model of anyone's trained generator: ONNX, a PyTorch module, a folder of the Hub.",
)
generate = AnyWords(
    "generate",
    "from ganserve.generating.command import generate; generate(prog_name='ganserve generate')",
    "serve",
    "Draw a set of images into files, on every core, without a server: folders, tar, Parquet, npz.",
    without="--url",
)
verify = AnyWords(
    "verify",
    "from ganserve.provenance.command import verify; verify(prog_name='ganserve verify')",
    "serve",
    "Is a picture the image that it says it is? Drawn again here, or by a server.",
    without="--url",
)


def address(ctx: click.Context, option: click.Parameter, host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:  # BentoML takes no name
        raise click.BadParameter(f"{host} is no IP address.") from None


_FILE = click.Path(exists=True, dir_okay=False)


@click.command()
@click.argument(
    "models", required=False, envvar="GANSERVE_MODELS", type=click.Path(exists=True, file_okay=False)
)
@click.option(
    "--host",
    callback=address,
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at; 0.0.0.0: all.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
@click.option("--ssl-certfile", type=_FILE, help="PEM, for https.")
@click.option("--ssl-keyfile", type=_FILE, help="PEM, where the key is not in the other file.")
@click.option("--settings", is_flag=True, help="Print what GANSERVE_ variables there are, and end.")
@click.pass_context
def serve(
    ctx: click.Context,
    models: str | None,
    host: str,
    port: int,
    ssl_certfile: str | None,
    ssl_keyfile: str | None,
    settings: bool,
) -> None:
    """Serve the generators of a folder, MODELS/NAME/generator.onnx; without one, what is shipped.

    Settings are variables, GANSERVE_WORKERS and the like: --settings prints them. Ctrl-C ends it.
    """
    _need("serve")
    environ = _environment()
    if settings:
        _become(["-m", "service.settings"], environ)
    # The service runs in its own folder, not in this one.
    environ["GANSERVE_MODELS"] = str(Path(models).absolute() if models else APP / "models")
    environ |= {name: str(Path(environ[name]).absolute()) for name in FILES if environ.get(name)}
    environ["BENTOML_HOME"] = str(_bentoml_home())
    # No balancer stands in front, which would have to notice.
    environ["GANSERVE_DRAIN_SECONDS"] = environ.get("GANSERVE_DRAIN_SECONDS") or "0"
    certfile, keyfile = (str(Path(file).absolute()) if file else "" for file in (ssl_certfile, ssl_keyfile))
    os.chdir(APP)
    look = [sys.executable, "-m", "service.preflight", host, str(port), certfile, keyfile]
    # In a group of its own: what it would say to a Ctrl-C is a traceback, and this process has a word for it.
    if code := subprocess.run(look, env=environ, check=False, process_group=0).returncode:
        ctx.exit(code)
    words = ["-m", "bentoml", "serve", "service.app:Ganserve", "--host", host, "--port", str(port)]
    words += ["--ssl-certfile", certfile] * bool(certfile) + ["--ssl-keyfile", keyfile] * bool(keyfile)
    _become(words, environ)


PROGRAMS = [serve, import_, generate, verify, admin, training, train]


def _need(extra: str) -> None:
    if not all(map(find_spec, _BY_EXTRA[extra])):
        raise NotInstalled(f"That is not installed: pip install 'ganserve[{extra}]'")


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(APP), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONSAFEPATH": "1", "PYTHONPATH": path}


def _bentoml_home() -> Path:
    """Where BentoML and the service write, which need not be able to where they are installed. Raises OSError."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = Path(os.environ.get("BENTOML_HOME") or Path(cache, "ganserve", "bentoml")).expanduser().absolute()
    home.mkdir(parents=True, exist_ok=True)
    return home


def _become(words: list[str], environ: dict[str, str]) -> NoReturn:
    """This process goes on as another: signals and exit codes are that one's."""
    os.execve(sys.executable, [sys.executable, *words], environ)
