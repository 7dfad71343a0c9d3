"""Every choice that a training run makes, in one dataclass."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageSpec:
    """What the images are: everything the networks must know of the data set."""

    dataset: str
    channels: int
    height: int
    width: int
    class_names: tuple[str, ...]

    @property
    def classes(self) -> int:
        return len(self.class_names)


@dataclass(frozen=True)
class Settings:
    """A training run. A preset is one row of these; the command line changes single values.

    Lengths of time are counted in real images that the discriminator has seen, never in
    epochs or steps, so that they keep their meaning when the batch size changes.
    """

    preset: str = "ns-r1"
    """The row of presets.py that the other values started from."""
    seed: int = 0
    """Decides the first weights, the order of the images and every latent drawn in training."""
    images: int = 1_200_000
    """The length of the run; the learning rate and the R1 strength follow it."""
    batch: int = 32
    """Images in one update, both of the discriminator and of the generator."""

    source: str = ""
    """The run or checkpoint whose weights this run begins with (`train --from`); none: it begins with random ones."""
    freeze_d: int = 0
    """So many layers of D, counted from the image, stay as they were there (FreezeD, Mo et al. 2020, arXiv 2002.10964)."""
    freeze_g: int = 0
    """So many layers of G, counted from the image, too."""

    network: str = "residual"
    """Which file of training/gan/networks/ builds the two networks."""
    conditional: bool = True
    """Whether the networks are told the class; if not, all images are of one nameless class."""
    z_dim: int = 64
    """Numbers in a latent. Of `flow` as many as in an image, since its z is the noise that the image comes from: 0 says so."""
    label_dim: int = 32
    """Numbers in the generator's embedding of a class; of `flow` also that of the times."""
    width: int = 32
    """Channels of both networks at half resolution; they double with every further halving.
    In `mlp` the hidden units of G, in `autoencoder` the channels everywhere, and in `projected` those of G alone.
    """
    attention: bool = True
    """Of `residual` and `projected`: one self-attention in the generator, at its first resolution (7x7 or 8x8)."""
    grow: float = 0.0
    """Of `growing`: in this share of the run the networks grow from a side of 4 (7) to the full size; 0: they have it at once."""
    batch_norm_d: bool = False
    """Of `dcgan`: batch norm in the discriminator, which then sees real and fake images apart."""

    loss: str = "non_saturating"
    """Which pair of functions of losses.py is descended; `mean_flow`, of `flow`, is one, without a discriminator."""
    d_steps: int = 1
    """Updates of the discriminator for each of the generator (k of Goodfellow et al. 2014)."""
    auxiliary: str = ""
    """Of `dcgan`, what D does beside: `classes`, it names the class (AC-GAN); `discriminative`, the class and whether the image is
    real (ADC-GAN); `codes`, it finds part of z again (InfoGAN);
    `pairs`, it sees z beside the image, and an encoder finds a z for real ones (BiGAN). Empty: nothing.
    """
    auxiliary_weight: float = 1.0
    """How much the class, or the codes, count beside the game (lambda of Chen et al. 2016, Eq. 6)."""
    code_weight: float = 0.1
    """That of the continuous codes, times so much: in nats a Gaussian's precision has no end, and would drown the category."""
    codes: int = 0
    """Of `codes`: so many continuous ones, c1, c2 and so on, are the last numbers of z before the category."""
    categories: int = 0
    """Of `codes`: values of the categorical one, `category`, which is the last number of z."""
    r1_gamma: float = 0.2
    """Strength of R1 at the start of the run; 0 switches it off."""
    r1_gamma_end: float = 0.04
    """Strength of R1 at the end; it falls geometrically in between."""
    r1_every: int = 8
    """R1 is computed once in so many discriminator updates, and counts so many times as much."""
    r2: bool = False
    """The same penalty on generated images too, whenever R1 is computed."""
    gp_weight: float = 0.0
    """Strength of WGAN-GP's gradient penalty, in every update (lambda of Gulrajani et al. 2017)."""
    weight_clip: float = 0.0
    """The discriminator's weights are kept within this of 0 (c of Arjovsky et al. 2017); 0: free."""
    balance_gamma: float = 0.5
    """Of the loss `began`: generated images' reconstruction error over real ones', at equilibrium."""
    balance_rate: float = 0.001
    """Of the loss `began`: how fast k_t follows (lambda_k)."""
    relative_error: bool = False
    """Of `autoencoder`: errors count over an image's brightness, so that G gains nothing by dark images."""

    optimiser: str = "adam"
    """adam, rmsprop or sgd, of both networks."""
    lr_g: float = 1e-3
    """Learning rate of the generator."""
    lr_d: float = 1e-3
    """Learning rate of the discriminator."""
    beta1: float = 0.0
    """Adam's memory of the gradient, or SGD's momentum."""
    beta2: float = 0.99
    """Adam's or RMSProp's memory of the squared gradient."""
    lr_constant: float = 0.5
    """Share of the run at the full learning rate, before it falls linearly."""
    lr_end: float = 0.1
    """What is left of the learning rate at the end, as a share."""
    ema_half_life: float = 90_000.0
    """Images after which a weight has half its say in the generator's average; 0: no average."""
    ema_ramp: float = 0.1
    """The half-life is at most this share of the images seen so far."""
    augment: str = ""
    """Differentiable augmentations of what the discriminator sees: a comma list of
    brightness, saturation, contrast, translation, cutout, flip. Empty: none.
    """
    precision: str = "auto"
    """fp32, bf16 (autocast), or auto: bf16 only where the hardware multiplies it fast."""

    @property
    def names_classes(self) -> bool:
        """Whether D, which is not told the class, names it."""
        return self.auxiliary in ("classes", "discriminative")
