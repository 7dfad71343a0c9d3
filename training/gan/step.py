"""One update of the discriminator, one of the generator."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from training.device import Autocast
from training.gan import ema
from training.gan.augment import augment
from training.gan.draws import flow_times, latents
from training.gan.flow import mean_flow
from training.gan.losses import (
    FLOW,
    LOSSES,
    began_balance,
    began_convergence,
    class_loss,
    discriminative_class_loss,
    information_loss,
    mean_flow_loss,
)
from training.gan.networks import flow, growing
from training.gan.networks.auxiliary import Bidirectional
from training.gan.penalties import clip_weights, r1, r2, wgan_gp
from training.gan.state import State
from training.processes import average, own
from training.settings import Settings

Batch = tuple[Tensor, Tensor]
Figures = dict[str, Tensor]


@dataclass(frozen=True)
class Trainer:
    """What an update needs beside the state: the choices, the images, the device's arithmetic."""

    settings: Settings
    classes: int
    device: torch.device
    real_batch: Callable[[int], Batch]
    """k -> (float32 [N, C, H, W] in [-1, 1], int64 [N]), of several processes (processes.py) this one's rows: the same for the same k."""
    autocast: Autocast


def train_step(trainer: Trainer, state: State) -> Figures:
    """d_steps updates of D, one of G, one of the average; images_seen moves on by d_steps batches. A flow has no D.

    Every draw comes from (seed, images_seen), so the same state gives the same next state.
    Returns detached scalars by TensorBoard name.
    """
    settings = trainer.settings
    progress = state.images_seen / settings.images
    growing.grow((state.G, state.D, state.average), settings, state.images_seen)
    for optimiser, lr in ((state.optimiser_g, settings.lr_g), (state.optimiser_d, settings.lr_d)):
        optimiser.param_groups[0]["lr"] = lr * learning_rate_share(settings, progress)

    figures: Figures = {}
    first = state.images_seen // settings.batch
    # Forked, so that the caller's global generator, which dropout draws from, stays as it was.
    with torch.random.fork_rng(devices=[]):
        if settings.loss == FLOW:
            figures |= update_flow(trainer, state, first)
        else:
            for k in range(first, first + settings.d_steps):
                figures |= update_discriminator(trainer, state, k, r1_gamma(settings, progress))
            figures |= update_generator(trainer, state, first)
    average(list(figures.values()))
    if settings.loss == "began":
        figures |= update_balance(settings, state, figures)

    state.images_seen += settings.batch * settings.d_steps
    kept = ema.decay(settings, state.images_seen, settings.batch * settings.d_steps)
    ema.update(state.average, state.G, kept)
    return figures


def update_discriminator(trainer: Trainer, state: State, k: int, gamma: float) -> Figures:
    """Descend the discriminator's loss on real batch k and as many fakes, with R1 every r1_every-th k."""
    settings, D, loss = trainer.settings, state.D, LOSSES[trainer.settings.loss]
    rng = draws(settings.seed, k, 0)
    torch.manual_seed(rng.initial_seed())
    real, label = real_batch(trainer, D, k)
    for weight in state.optimiser_d.param_groups[0]["params"]:  # all but frozen ones
        weight.requires_grad_(True)
    with trainer.autocast():
        with torch.no_grad():
            # Fakes of the classes of this very batch: D sees each class as often real as fake.
            z = own(latents(settings, settings.batch, rng)).to(label.device)
            fake = state.G(z, label)
            of_real = encoded(state.G, real, z)
        seen = augment(torch.cat([real, fake]), settings.augment, rng)
        if settings.batch_norm_d or isinstance(D, growing.Discriminator):
            # Apart, or the batch's statistics would tell D what each half is.
            halves = zip(seen.chunk(2), (of_real, z), strict=True)
            (real_logits, real_found), (fake_logits, found) = (
                look(settings, D, half, label, of) for half, of in halves
            )
        else:
            logits, both = look(settings, D, seen, torch.cat([label, label]), torch.cat([of_real, z]))
            (real_logits, fake_logits), (real_found, found) = logits.chunk(2), both.chunk(2)
        balance = (state.balance,) if loss.balanced else ()
        objective = loss.discriminator(real_logits, fake_logits, *balance)
        if settings.auxiliary == "discriminative":
            beside = {"class": class_loss(found, label + trainer.classes)}
        else:
            beside = auxiliary(settings, found, label, z)
        if settings.names_classes:
            beside["class of real"] = class_loss(real_found, label)
    (objective + weighted(settings, beside)).backward()
    figures = {
        "loss/D": objective.detach(),
        "D(x)": loss.output(real_logits.detach()).mean(),
        "D(G(z))": loss.output(fake_logits.detach()).mean(),
    } | {f"auxiliary/{name}": value.detach() for name, value in beside.items()}

    def logits_of(images: Tensor) -> Tensor:
        return look(settings, D, augment(images, settings.augment, rng), label, of_real)[0]

    if gamma > 0 and k % settings.r1_every == 0:
        # Lazily, and then as much stronger (Karras et al. 2020, arXiv 1912.04958, appendix B).
        strength = gamma / 2 * settings.r1_every
        with trainer.autocast():
            figures["penalty/R1"] = descend(r1(logits_of, real), strength)
            if settings.r2:
                figures["penalty/R2"] = descend(r2(logits_of, fake), strength)
    if settings.gp_weight > 0:
        with trainer.autocast():
            figures["penalty/GP"] = descend(wgan_gp(logits_of, real, fake, rng), settings.gp_weight)
    figures["gradient/D"] = take_step(D, state.optimiser_d)
    if settings.weight_clip > 0:
        clip_weights(D, settings.weight_clip)
    return figures


def descend(penalty: Tensor, strength: float) -> Tensor:
    """Add the penalty's gradient, so much stronger, to what the weights hold. Returns the penalty, detached."""
    (strength * penalty).backward()
    return penalty.detach()


def update_generator(trainer: Trainer, state: State, k: int) -> Figures:
    """Descend the generator's loss on latents and classes of its own draw.

    A relativistic loss compares each fake with a real image of its class, of batch k. BiGAN's E descends it on real images.
    """
    settings, G, D, loss = trainer.settings, state.G, state.D, LOSSES[trainer.settings.loss]
    rng = draws(settings.seed, k, 1)
    torch.manual_seed(rng.initial_seed())
    # D's weights need no gradient here, and theirs is more than half of its backward pass.
    D.requires_grad_(False)
    with trainer.autocast():
        real_logits: tuple[Tensor, ...] = ()
        if loss.relativistic:
            real, label = real_batch(trainer, D, k)
            real_logits = (D(augment(real, settings.augment, rng), label),)
        else:
            label = own(torch.randint(trainer.classes, (settings.batch,), generator=rng)).to(trainer.device)
        z = own(latents(settings, settings.batch, rng)).to(trainer.device)
        logits, found = look(settings, D, augment(G(z, label), settings.augment, rng), label, z)
        objective = loss.generator(*real_logits, logits)
        if isinstance(G, Bidirectional):
            real, label = trainer.real_batch(k)
            pair = augment(real, settings.augment, rng), label, G.encode(real)
            # Minus V of Donahue et al. 2017, Eq. 2 and 3, with the labels turned: E wants real pairs to pass for generated ones.
            objective = objective + loss.generator(-look(settings, D, *pair)[0])
        beside = auxiliary(settings, found, label, z)
    (objective + weighted(settings, beside)).backward()
    return {"loss/G": objective.detach(), "gradient/G": take_step(G, state.optimiser_g)}


def update_flow(trainer: Trainer, state: State, k: int) -> Figures:
    """Descend MeanFlow's loss on real batch k and as much noise."""
    settings, G = trainer.settings, state.G
    assert isinstance(G, flow.Generator)
    rng = draws(settings.seed, k, 1)
    x, label = trainer.real_batch(k)
    e = own(latents(settings, settings.batch, rng)).to(trainer.device).view_as(x)
    r, t = (own(times).to(trainer.device) for times in flow_times(settings.batch, rng))
    with trainer.autocast():
        u, target = mean_flow(G.velocity, x, e, r, t, label)
    mean_flow_loss(u, target).backward()
    # Not the loss, which is all but 1 throughout.
    error = (u.detach() - target).square().mean()
    return {"loss/G": error, "gradient/G": take_step(G, state.optimiser_g)}


def real_batch(trainer: Trainer, D: nn.Module, k: int) -> Batch:
    """Batch k as D sees it by now."""
    real, label = trainer.real_batch(k)
    return D.faded(real) if isinstance(D, growing.Discriminator) else real, label


def look(settings: Settings, D: nn.Module, image: Tensor, label: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """D's logits, float32 [N] or [N, places], and what it finds beside them, float32 [N, any]."""
    if settings.auxiliary:
        return D(image, label, z)
    logits = D(image, label)
    return logits, logits.new_zeros(len(logits), 0)


def encoded(G: nn.Module, real: Tensor, z: Tensor) -> Tensor:
    """What D sees beside real images: BiGAN's E(x); z where D looks at none."""
    return G.encode(real) if isinstance(G, Bidirectional) else z


def auxiliary(settings: Settings, found: Tensor, label: Tensor, z: Tensor) -> Figures:
    """What G descends on generated images beside the game, in nats; D does too, but for a discriminative classifier."""
    if settings.auxiliary == "classes":
        return {"class": class_loss(found, label)}
    if settings.auxiliary == "discriminative":
        return {"class": discriminative_class_loss(found, label)}
    if settings.auxiliary == "codes":
        continuous, category = z[:, -1 - settings.codes : -1], z[:, -1].long()
        return dict(zip(("codes", "category"), information_loss(found, continuous, category), strict=True))
    return {}


def weighted(settings: Settings, beside: Figures) -> Tensor | float:
    return settings.auxiliary_weight * sum(
        value * (settings.code_weight if name == "codes" else 1) for name, value in beside.items()
    )


def update_balance(settings: Settings, state: State, figures: Figures) -> Figures:
    """BEGAN's k_t after both networks' updates, and its measure of convergence."""
    errors, gamma = (figures["D(x)"], figures["loss/G"]), settings.balance_gamma
    state.balance = began_balance(state.balance, *errors, gamma, settings.balance_rate)
    convergence = began_convergence(*errors, gamma)
    return {"balance/k": state.balance, "balance/convergence": convergence}


def learning_rate_share(settings: Settings, progress: float) -> float:
    """1 until `lr_constant` of the run, then linear to `lr_end`. progress: 0 to 1."""
    fallen = min(max(progress - settings.lr_constant, 0) / max(1 - settings.lr_constant, 1e-9), 1)
    return 1 + fallen * (settings.lr_end - 1)


def r1_gamma(settings: Settings, progress: float) -> float:
    """R1's strength, geometric from r1_gamma to r1_gamma_end. progress: 0 to 1."""
    if settings.r1_gamma == 0 or settings.r1_gamma_end == 0:
        return settings.r1_gamma * (1 - progress)
    return settings.r1_gamma * (settings.r1_gamma_end / settings.r1_gamma) ** min(progress, 1)


def draws(seed: int, k: int, purpose: int) -> torch.Generator:
    """The CPU generator of update k. A generator each, so that a resumed run needs no random state."""
    # Mixed, because torch's Mersenne Twister keeps only 32 bits of its seed.
    mixed = np.random.SeedSequence([seed, k, purpose]).generate_state(1)[0]
    return torch.Generator().manual_seed(int(mixed))


def take_step(network: nn.Module, optimiser: Optimizer) -> Tensor:
    """By the gradient that the weights hold, of all processes. Returns its Euclidean norm over all of them."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    average(gradients)
    norm = torch.nn.utils.get_total_norm(gradients)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return norm
