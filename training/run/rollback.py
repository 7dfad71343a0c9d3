"""Going back to before a fall, and on from there otherwise than before."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from training.data.dataset import Dataset
from training.gan.state import State, new_state
from training.processes import from_first
from training.run.alarms import TrainingFailed, check_weights
from training.run.checkpoint import FILE_NAME, Header, read, restore, save_state
from training.run.transfer import take_over
from training.settings import Settings

# The state of the last look that showed no collapse. A checkpoint proper may be from the midst of the
# fall, which is noticed at the second low look.
SOUND_FILE = "sound.safetensors"
# What falls again at an eighth of the learning rates has another cause.
MOST_ROLLBACKS = 3


def settings_now(settings: Settings, rollbacks: int) -> Settings:
    """What the run goes on with after so many rollbacks: other draws, and learning rates halved each time.

    Other draws alone would come to the same fall where it follows from the rates: near an equilibrium
    simultaneous gradient descent converges only below some rate (Mescheder et al. 2017, arXiv
    1705.10461). A function of the settings and the count, so that a resumed run ends in the same bits.
    """
    if not rollbacks:
        return settings
    seed = int(np.random.SeedSequence([settings.seed, rollbacks]).generate_state(1)[0])
    share = 0.5**rollbacks
    return replace(settings, seed=seed, lr_g=settings.lr_g * share, lr_d=settings.lr_d * share)


def keep_sound(folder: Path, header: Header, state: State) -> None:
    """Keep this state as the one to go back to. Raises TrainingFailed where its weights are NaN."""
    check_weights(state, header.settings)
    save_state(folder, header, state, SOUND_FILE)


def roll_back(
    folder: Path, settings: Settings, dataset: Dataset, state: State, failure: TrainingFailed
) -> State:
    """The last sound state, or a new one where none was kept, with one rollback more; it is the checkpoint from now on.

    Raises TrainingFailed when there were enough.
    """
    if state.rollbacks >= MOST_ROLLBACKS:
        raise TrainingFailed(
            f"{failure} The run went back {state.rollbacks} times, each with half the learning rates, and fell again."
        ) from failure
    rollbacks = state.rollbacks + 1
    back = new_state(settings_now(settings, rollbacks), dataset.spec, state.balance.device)
    file = folder / SOUND_FILE
    if found := from_first(lambda: read(file) if file.exists() else None):
        header, tensors = found
        restore(tensors, back)
        back.images_seen = header.images_seen
    elif settings.source:
        take_over(back, settings, dataset.spec)
    back.low_look, back.rollbacks, back.origin = False, rollbacks, state.origin
    header = Header(settings, dataset.spec, back.images_seen, dataset.fingerprint, back.origin)
    save_state(folder, header, back, FILE_NAME)
    return back
