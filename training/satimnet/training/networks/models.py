"""The three networks: topologies with exactly the parameter counts that the paper reports.

The paper's figures with the layers are not at hand. These are the plainest networks, in the style
of code its authors published elsewhere (2x2 convolutions without padding, in pairs, batches
normalised), whose counts in the sense of Keras ("Total params") are the published 2,507,018,
860,163 and 1,259,277 for four bands.

`CnnSegm` and `CnnDual` give a window of 5x5 pixels the class of the pixel in its middle. They
consist of convolutions alone, the dense layers being convolutions of 1x1: on an image, `dense`
gives every pixel what `forward` gives its window, without computing anything twice.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 64
"""Side in pixels of the patches that `CnnClass` takes."""
WINDOW = 5
"""Side in pixels of the windows that `CnnSegm` and `CnnDual` take."""
MARGIN = WINDOW // 2
"""Pixels at each edge of an image that are in the middle of no window."""


class CnnClass(nn.Module):
    """Patch classifier: float32 images (sample, band, 64, 64) to logits (sample, class).

    Four pairs of convolutions, each followed by batch normalisation, ReLU, 2x2 max pooling and
    dropout, then dense layers of `2 * width`, `width` and `classes` units. `width` is the number
    of filters: 256 is the published size, 32 trains well on two CPU cores.

    Example:
        >>> model = CnnClass(bands=3, classes=5, width=8)
        >>> model(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self, bands: int = 4, classes: int = 10, width: int = 256, dropout: float = 0.09
    ) -> None:
        super().__init__()
        self.pairs = nn.Sequential(
            *(
                nn.Sequential(
                    _Pair(inputs, width),
                    _norm(width),
                    # ReLU is monotone, so it may follow the pooling: a quarter of the values
                    nn.MaxPool2d(2),
                    nn.ReLU(),
                    nn.Dropout(dropout),
                )
                for inputs in (bands, width, width, width)
            )
        )
        self.dense = nn.Sequential(
            nn.Flatten(),
            *(nn.Linear(4 * width, 2 * width), _norm(2 * width, 1), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(2 * width, width), _norm(width, 1), nn.ReLU(), nn.Dropout(dropout)),
            nn.Linear(width, classes),
        )
        _initialise(self, nn.init.xavier_normal_)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (sample, class) of images (sample, band, 64, 64)."""
        logits: Tensor = self.dense(self.pairs(images))
        return logits


class CnnSegm(nn.Module):
    """Pixel classifier: float32 windows (sample, band, 5, 5) to logits (sample, class).

    Two pairs of convolutions, each followed by batch normalisation, tanh and dropout, then dense
    layers of `width`, with tanh and dropout, and `classes` units.

    Example:
        >>> model = CnnSegm(bands=3, classes=2, width=8)
        >>> model(torch.zeros(7, 3, 5, 5)).shape, model.dense(torch.zeros(1, 3, 64, 64)).shape
        (torch.Size([7, 2]), torch.Size([1, 2, 60, 60]))
    """

    def __init__(
        self, bands: int = 4, classes: int = 3, width: int = 256, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(_Pair(bands, width), _norm(width), nn.Tanh(), nn.Dropout(dropout)),
            *(_Pair(width, width), _norm(width), nn.Tanh(), nn.Dropout(dropout)),
            *(nn.Conv2d(width, width, 1), nn.Tanh(), nn.Dropout(dropout)),
            nn.Conv2d(width, classes, 1),
        )
        _initialise(self, nn.init.xavier_normal_)

    def forward(self, windows: Tensor) -> Tensor:
        """Logits (sample, class) of the middle of windows (sample, band, 5, 5)."""
        return self.dense(windows).flatten(1)

    def dense(self, images: Tensor) -> Tensor:
        """Logits (sample, class, y - 4, x - 4) of images (sample, band, y, x).

        In evaluation mode each is exactly what `forward` gives the 5x5 window around the pixel.
        To get all pixels of an image, pad it by 2 on each side.
        """
        logits: Tensor = self.layers(images)
        return logits


class CnnDual(nn.Module):
    """Pixel classifier by two class tables at once: windows (sample, band, 5, 5) to two logits.

    Two branches of the same form, one for each class table, with `width` filters in two
    convolutions, `2 * width` in two more, then `width / 2` dense units. Three times, before the
    third and the fifth layer and before the last, both go on from what both have found. Every
    layer but the last is followed by batch normalisation and ReLU, every second one and the dense
    one by dropout.

    The branches are computed together: the left one is the first half of the channels of every
    layer, and where they go apart the convolution has two groups.

    Example:
        >>> model = CnnDual(bands=3, classes=(5, 2), width=8)
        >>> [logits.shape for logits in model(torch.zeros(7, 3, 5, 5))]
        [torch.Size([7, 5]), torch.Size([7, 2])]
    """

    def __init__(
        self,
        bands: int = 4,
        classes: tuple[int, int] = (10, 3),
        width: int = 128,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"width {width}: must be even")
        self.classes = classes
        both = 2 * width
        self.layers = nn.Sequential(
            *(nn.Conv2d(bands, both, 2), _norm(both), nn.ReLU()),
            *(nn.Conv2d(both, both, 2, groups=2), _norm(both), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Conv2d(both, 2 * both, 2), _norm(2 * both), nn.ReLU()),
            *(nn.Conv2d(2 * both, 2 * both, 2, groups=2), _norm(2 * both), nn.ReLU()),
            nn.Dropout(dropout),
            *(nn.Conv2d(2 * both, width, 1), _norm(width), nn.ReLU(), nn.Dropout(dropout)),
            nn.Conv2d(width, sum(classes), 1),
        )
        _initialise(self, _he_uniform)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (sample, class) by each table, of windows (sample, band, 5, 5)."""
        left, right = self.dense(windows)
        return left.flatten(1), right.flatten(1)

    def dense(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (sample, class, y - 4, x - 4) by each table: see `CnnSegm.dense`."""
        left, right = self.layers(images).split(self.classes, dim=1)
        return left, right


class _Pair(nn.Module):
    """Two 2x2 convolutions with nothing between them.

    Together they are one 3x3 convolution. With few input channels that one is far cheaper, and
    then it is computed from the two kernels at each step: the same function of the same
    parameters, the same gradients.
    """

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, filters, 2)
        self.second = nn.Conv2d(filters, filters, 2)
        self.composed = 9 * inputs < 4 * inputs + 4 * filters

    def forward(self, x: Tensor) -> Tensor:
        if self.composed:
            return F.conv2d(x, *_compose(self.first, self.second))
        result: Tensor = self.second(self.first(x))
        return result


def _compose(first: nn.Conv2d, second: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias of the one convolution that equals `second(first(x))`.

    Cross-correlations compose by the full convolution of their kernels, which is the
    cross-correlation of the padded first kernel with the flipped second one.
    """
    assert first.bias is not None
    assert second.bias is not None
    with torch.autocast(first.weight.device.type, enabled=False):  # kernels stay float32
        kernel = F.conv2d(first.weight.transpose(0, 1), second.weight.flip(2, 3), padding=1)
        bias = second.bias + second.weight.sum((2, 3)) @ first.bias
    return kernel.transpose(0, 1), bias


def _norm(channels: int, dimensions: int = 2) -> nn.Module:
    kind = nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm1d
    return kind(channels, eps=1e-3, momentum=0.01)  # the defaults of Keras


def _initialise(model: nn.Module, draw: Callable[[Tensor], Tensor]) -> None:
    """Draws all kernels; biases are 0, as in Keras."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            draw(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def _he_uniform(weight: Tensor) -> Tensor:
    return nn.init.kaiming_uniform_(weight, nonlinearity="relu")


def keras_parameter_count(model: nn.Module) -> int:
    """What Keras calls "Total params": all parameters and the moving mean and variance.

    Args:
        model: any network.

    Returns:
        How many numbers that are.

    Example:
        >>> keras_parameter_count(CnnClass(bands=4, classes=10))
        2507018
    """
    moving = (b for name, b in model.named_buffers() if name.endswith(("_mean", "_var")))
    return sum(t.numel() for t in [*model.parameters(), *moving])
