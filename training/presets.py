"""The recipes by name: one row each, holding what differs from the defaults of settings.py."""

from typing import Any

from training.errors import UserError
from training.gan.augment import parse
from training.gan.losses import FLOW, LOSSES
from training.gan.networks import NETWORKS
from training.gan.state import OPTIMISERS
from training.settings import Settings

# Before averaged weights and falling learning rates were the custom.
_PLAIN = {"r1_gamma": 0.0, "lr_constant": 1.0, "ema_half_life": 0.0}
# Goodfellow et al. 2014 with the authors' MNIST configuration; z is normal where theirs was uniform.
_GAN = _PLAIN | {"network": "mlp", "width": 400, "z_dim": 100, "optimiser": "sgd", "lr_g": 0.1, "lr_d": 0.1,
                 "beta1": 0.5, "batch": 100, "conditional": False, "loss": "non_saturating"}  # fmt: skip
# Radford et al. 2016; batches of 64, not 128, for twice the updates in a CPU's minutes.
_DCGAN = _PLAIN | {"network": "dcgan", "width": 48, "batch_norm_d": True, "loss": "non_saturating",
                   "lr_g": 2e-4, "lr_d": 2e-4, "beta1": 0.5, "beta2": 0.999, "batch": 64}  # fmt: skip

PRESETS: dict[str, dict[str, Any]] = {
    # Goodfellow et al. 2014, Eq. 1: G descends log(1 - D(G(z))). At gan's rates D is sure of every fake within
    # 100 updates, and G's gradient is gone for good: so G is fast here, and D slow, which is not theirs.
    "gan-minimax": _GAN | {"loss": "minimax", "lr_g": 1.0, "lr_d": 0.02},
    # The same with the loss of its section 3, which the authors' code used; rates and momentum are constant here.
    "gan": _GAN,
    # Mirza and Osindero 2014: both networks are told the class.
    "cgan": _GAN | {"conditional": True},
    # Radford et al. 2016, told the class.
    "dcgan": _DCGAN,
    # Mao et al. 2017 on DCGAN's networks, with a = 0 and b = c = 1, told the class too.
    "lsgan": _DCGAN | {"loss": "least_squares"},
    # Odena et al. 2017 on DCGAN's networks: D is not told the class, but names it. Half the batch here and in the next two, for
    # twice the updates.
    "acgan": _DCGAN | {"auxiliary": "classes", "batch": 32},
    # Hou et al. 2022 on the same: what names the class tells real from generated, too. No batch norm in D, at 5 times the rate.
    "adcgan": _DCGAN | {"auxiliary": "discriminative", "batch_norm_d": False, "lr_g": 1e-3, "lr_d": 1e-3, "batch": 32},
    # Chen et al. 2016 on DCGAN's networks, with their learning rates and z of MNIST: 62 numbers, two codes, ten categories.
    "infogan": _DCGAN | {"auxiliary": "codes", "conditional": False, "label_dim": 1, "z_dim": 65, "codes": 2, "categories": 10,
                         "lr_g": 1e-3, "batch": 32},
    # Donahue et al. 2017 on DCGAN's networks, which is ALI (Dumoulin et al. 2017) with an encoder that draws nothing; G and E
    # learn at InfoGAN's rate, since they have far to go.
    "bigan": _DCGAN | {"auxiliary": "pairs", "conditional": False, "label_dim": 1, "lr_g": 1e-3, "batch": 32},
    # Arjovsky et al. 2017, told the class. Half the batch, and 10 times their learning rate, which needs days.
    "wgan": _DCGAN | {"loss": "wasserstein", "d_steps": 5, "weight_clip": 0.01, "batch": 32,
                      "optimiser": "rmsprop", "lr_g": 5e-4, "lr_d": 5e-4, "beta2": 0.99},
    # Gulrajani et al. 2017, told the class: no batch norm in the critic. Half the batch, 5 times their learning rate.
    "wgan-gp": _DCGAN | {"loss": "wasserstein", "d_steps": 5, "gp_weight": 10.0, "batch_norm_d": False, "batch": 32,
                         "lr_g": 5e-4, "lr_d": 5e-4, "beta1": 0.0, "beta2": 0.9},
    # Berthelot et al. 2017, told the class, and with errors relative to an image's brightness: with theirs, which a dark picture
    # keeps small whatever it shows, G removed the ink. A wider gamma, 5 times their learning rate and lambda_k, 4 times their batch.
    "began": _PLAIN | {"network": "autoencoder", "width": 32, "loss": "began", "relative_error": True,
                       "balance_gamma": 0.9, "balance_rate": 0.005,
                       "lr_g": 5e-4, "lr_d": 5e-4, "beta1": 0.5, "beta2": 0.999, "batch": 64},
    # Zhang et al. 2019: two time scales, D's four times G's as theirs, both 5 times as fast; they had batches of 256.
    "sagan": _PLAIN | {"network": "sagan", "width": 32, "loss": "hinge",
                       "lr_g": 5e-4, "lr_d": 2e-3, "beta1": 0.0, "beta2": 0.9, "batch": 32},
    # Karras et al. 2018, told the class, at their learning rate and batch. Not their WGAN-GP but the non-saturating loss with R1, as
    # their next paper: a penalty in every eighth update and not in each, which is half of an update's cost.
    "growing": {"network": "growing", "width": 16, "batch": 16, "grow": 0.5},
    # The default recipe: non-saturating loss, exact R1 every 8 updates, one high learning rate.
    "ns-r1": {},
    # The loss of R3GAN (Huang et al. 2024), which is relativistic pairing of Jolicoeur-Martineau 2019, with R1 and R2; not its
    # networks without norms, nor both penalties in every update: the networks are the shipped ones without attention.
    "rpgan": {"attention": False, "loss": "relativistic", "r1_every": 4, "r2": True},
    # Sauer et al. 2021, told the class, with the relativistic loss: theirs, the hinge, drew one picture of each class in a trial, in
    # many colours. Half their batch, at higher rates; of their augmentations the one that moves nothing but the picture.
    "projected": _PLAIN | {"network": "projected", "loss": "relativistic", "z_dim": 128, "width": 64, "lr_g": 5e-4, "lr_d": 1e-3,
                           "augment": "translation"},
    # Geng et al. 2025, told the class, without their guidance: one step from noise to image, and no game. 20 times their learning
    # rate. In fp32, since du/dt is no number for bf16: in a trial one came out thousands of times too large.
    "meanflow": {"network": "flow", "loss": FLOW, "z_dim": 0, "label_dim": 64, "r1_gamma": 0.0, "lr_g": 2e-3, "beta1": 0.9,
                 "ema_half_life": 30_000.0, "precision": "fp32", "width": 48},
}  # fmt: skip

AT_LEAST = {
    "images": 1, "batch": 2, "freeze_d": 0, "freeze_g": 0, "z_dim": 0, "label_dim": 1, "width": 2, "d_steps": 1, "r1_every": 1, "seed": 0,
    "r1_gamma": 0, "r1_gamma_end": 0, "gp_weight": 0, "weight_clip": 0, "balance_gamma": 0, "balance_rate": 0, "auxiliary_weight": 0, "code_weight": 0, "codes": 0, "categories": 0,
    "lr_g": 0, "lr_d": 0, "ema_half_life": 0, "ema_ramp": 0,
}  # fmt: skip
AUXILIARIES = ("", "classes", "discriminative", "codes", "pairs")
PRECISIONS = ("auto", "fp32", "bf16")
SHARES = ("beta1", "beta2", "lr_constant", "lr_end", "grow")


def settings_of(preset: str, **changes: Any) -> Settings:
    """The preset's row with these values changed. Raises UserError, naming what is allowed."""
    values: dict[str, Any] = {"preset": preset} | known(preset, "preset", PRESETS) | changes
    settings = Settings(**values)
    known(settings.network, "network", NETWORKS)
    known(settings.loss, "loss", LOSSES | {FLOW: None})
    known(settings.optimiser, "optimiser", OPTIMISERS)
    known(settings.precision, "precision", dict.fromkeys(PRECISIONS))
    known(settings.auxiliary, "auxiliary", dict.fromkeys(AUXILIARIES))
    check_together(settings)
    try:
        parse(settings.augment)
    except ValueError as error:
        raise UserError(str(error)) from error
    for name, least in AT_LEAST.items():
        # The comparison is false for NaN too.
        if not getattr(settings, name) >= least:
            raise UserError(f"{name} is {getattr(settings, name)}; it must be at least {least}")
    for name in SHARES:
        value = getattr(settings, name)
        # An Adam that never forgets divides by zero; a schedule may well be all constant.
        if not 0 <= value <= 1 or (name.startswith("beta") and value == 1):
            raise UserError(f"{name} is {value}; it must be a share from 0 to 1")
    return settings


def check_together(settings: Settings) -> None:
    """Raises UserError for choices that cannot be combined."""
    flow = settings.loss == FLOW
    if flow != (settings.network == "flow"):
        raise UserError(
            f"the loss '{FLOW}' and the network 'flow' go together: it says a velocity where others say an image"
        )
    of_d = settings.augment, settings.r1_gamma, settings.gp_weight, settings.weight_clip, settings.d_steps - 1
    if flow and any(of_d):
        raise UserError(
            "a flow has no discriminator: no augment, r1_gamma, gp_weight and weight_clip of 0, d_steps of 1"
        )
    if (settings.loss == "began") != (settings.network == "autoencoder"):
        raise UserError(
            "the loss 'began' and the network 'autoencoder' go together: one descends the other's errors"
        )
    if settings.relative_error and settings.network != "autoencoder":
        raise UserError("relative_error is of the network 'autoencoder', whose D gives an error")
    if settings.auxiliary and (settings.network != "dcgan" or LOSSES[settings.loss].relativistic):
        raise UserError("auxiliary needs network=dcgan, and a loss that compares no pairs of images")
    if settings.conditional != settings.names_classes and settings.auxiliary:
        raise UserError(
            "auxiliary=classes and discriminative need conditional=true; codes and pairs conditional=false"
        )
    coded = settings.auxiliary == "codes"
    if coded != (settings.categories > 1) or (settings.codes and not coded):
        raise UserError("auxiliary=codes needs categories of 2 or more; codes and categories are of it alone")
    if settings.z_dim <= settings.codes + (settings.categories > 0) and not flow:
        raise UserError(f"z_dim is {settings.z_dim}: it holds codes and category, and a number more")
    if (settings.freeze_d or settings.freeze_g) and not settings.source:
        raise UserError("freeze_d and freeze_g keep layers as they were in another run: they need --from")
    if settings.freeze_d and settings.network == "projected":
        raise UserError("freeze_d keeps D's layers at the image: those of network=projected never learn")
    if settings.grow and settings.network != "growing":
        raise UserError("grow needs network=growing")
    if settings.batch_norm_d and (settings.r1_gamma > 0 or settings.gp_weight > 0):
        raise UserError(
            "R1 (r1_gamma) and the gradient penalty (gp_weight) are of one image: they need batch_norm_d=false"
        )


def known(name: str, what: str, table: dict[str, Any]) -> Any:
    """The table's row of this name. Raises UserError."""
    if name not in table:
        raise UserError(f"unknown {what} '{name}': choose from {', '.join(table)}")
    return table[name]
