"""StyleGAN-lite: mapping network, modulated convolutions, noise and style mixing, small enough to own.

Written from Karras et al. 2019 and 2020: w = mapping(z) scales the input channels of every
convolution, whose weights are then normalised; upsampling is bilinear; every level adds its own
RGB (skip) output. A class enters the mapping network beside z.

>>> config = StyleGANConfig(size=32, width=8, style=32)
>>> Generator(config)(torch.zeros(2, 128)).shape
torch.Size([2, 3, 32, 32])
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.networks import initialise
from countermark.generators.families.base import GanFamily, NetworkConfig
from countermark.generators.families.layers import ConvCritic, PixelNorm
from countermark.generators.families.upsampling import double


class StyleGANConfig(NetworkConfig):
    """Settings of the family ``stylegan-lite``.

    Attributes:
        width, max_width: Channels at the image's own size, and most at any level.
        style: Length of w.
        mapping: Layers of the mapping network.
        mixing: Probability of style mixing in training.
        spectral: Spectral normalisation of the critic; the paper regularises by R1 instead.
    """

    width: int = Field(default=24, ge=4, le=512)
    max_width: int = Field(default=192, ge=8, le=2048)
    style: int = Field(default=128, ge=4, le=1024)
    mapping: int = Field(default=3, ge=1, le=8)
    mixing: float = Field(default=0.5, ge=0, le=1)
    spectral: bool = True


class Mapping(nn.Module):
    """z (and class) to w [N, style]; z is normalised to unit root mean square first."""

    def __init__(self, config: StyleGANConfig) -> None:
        super().__init__()
        self.code = nn.Embedding(config.classes, config.style) if config.classes else None
        layers: list[nn.Module] = []
        last = config.latent + (config.style if config.classes else 0)
        for _ in range(config.mapping):
            layers += [nn.Linear(last, config.style), nn.LeakyReLU(0.2)]
            last = config.style
        self.layers = nn.Sequential(*layers)
        self.norm = PixelNorm()

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        z = self.norm(z)
        if self.code is not None and labels is not None:
            z = torch.cat([z, self.code(labels)], dim=1)
        return self.layers(z)


class StyleConv(nn.Module):
    """Modulated and demodulated 3 x 3 convolution, noise, bias, leaky ReLU.

    Scaling the input by the style and the output by the normaliser equals scaling the weights, and
    lets one convolution serve the whole batch.
    """

    noise: Tensor

    def __init__(self, source: int, target: int, side: int, config: StyleGANConfig) -> None:
        super().__init__()
        self.style = nn.Linear(config.style, source)
        self.conv = nn.Conv2d(source, target, 3, padding=1, padding_mode=config.padding, bias=False)
        self.bias = nn.Parameter(torch.zeros(target))
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(1, 1, side, side))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.style(w) + 1
        energy = self.conv.weight.square().sum(dim=(2, 3))
        normal = torch.rsqrt(style.float().square() @ energy.float().T + 1e-8).to(x.dtype)
        x = self.conv(x * style[:, :, None, None].to(x.dtype)) * normal[:, :, None, None]
        # In training noise is drawn anew; in use it is the network's own, so z alone decides.
        noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device) if self.training else self.noise
        x = x + (self.strength * noise).to(x.dtype) + self.bias[:, None, None].to(x.dtype)
        return F.leaky_relu(x, 0.2) * 2**0.5


class Generator(nn.Module):
    """z [N, latent] (and labels [N]) to images [N, channels, size, size], about [-1, 1]."""

    def __init__(self, config: StyleGANConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        widths = [min(config.width * 2**level, config.max_width) for level in range(config.levels, -1, -1)]
        self.start = nn.Parameter(torch.randn(1, widths[0], 4, 4))
        self.convs, self.colours, self.colour_styles = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        last = widths[0]
        for level, width in enumerate(widths):
            side = 4 * 2**level
            self.convs.append(StyleConv(last, width, side, config))
            self.colour_styles.append(nn.Linear(config.style, width))
            self.colours.append(nn.Conv2d(width, config.channels, 1))
            last = width
        initialise(self)
        for layer in self.colours:
            nn.init.orthogonal_(layer.weight, 0.3)  # type: ignore[arg-type]

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        w = self.mapping(z, labels)
        other, border = w, len(self.convs)
        if self.training and torch.rand(()) < self.config.mixing:
            other = self.mapping(torch.randn_like(z), labels)
            border = int(torch.randint(1, len(self.convs), ()))
        x = self.start.expand(len(z), -1, -1, -1)
        image: Tensor | None = None
        for level, conv in enumerate(self.convs):
            style = w if level < border else other
            if level:
                x = double(x, "bilinear", self.config.padding)
            x = conv(x, style)
            modulation = (self.colour_styles[level](style) + 1)[:, :, None, None]
            colour = self.colours[level](x * modulation.to(x.dtype))
            if image is not None:
                image = double(image, "bilinear", self.config.padding)
            image = colour if image is None else image + colour
        assert image is not None
        return torch.tanh(image)


def build_critic(config: StyleGANConfig) -> nn.Module:
    return initialise(ConvCritic(config, spectral=config.spectral))


FAMILY = GanFamily(
    name="stylegan-lite",
    summary="Mapping network, modulated convolutions, noise and style mixing.",
    config=StyleGANConfig,
    build_generator=Generator,
    build_critic=build_critic,
)
