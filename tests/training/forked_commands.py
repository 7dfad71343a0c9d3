"""A program: runs `python -m training` commands, one JSON list of arguments a line, each in a fork.

Importing torch takes seconds; a fork of a process that has it takes milliseconds. So a test can
start and kill real training processes by the dozen. Replies `pid N`, and at the end `status N`.
"""

import json
import os
import sys
from importlib import import_module

import torch

from tests.training.tiny import TINY_PRESET
from training.__main__ import main
from training.presets import PRESETS

PRESETS["tiny"] = TINY_PRESET
import_module("training.commands.train")  # with all that it imports: this is what is not to be repeated
# Nothing that imports onnxruntime: its threads are not forked, and a child that ends waits for them for ever.
# Torch imports its compiler at the first optimiser, which takes as long as all the rest.
torch.optim.Adam([torch.zeros(1, requires_grad=True)])
print("ready", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        sys.stdout = sys.stderr
        main(json.loads(line), prog_name="python -m training")
    print(f"pid {pid}", flush=True)
    _, status = os.waitpid(pid, 0)
    print(f"status {os.waitstatus_to_exitcode(status)}", flush=True)
