"""The networks: CNN-class, a topology with exactly the parameter count that the paper reports.

The paper's figures with the layers are not at hand; `CnnClass` is the plainest network, in the
style of code its authors published elsewhere, whose count in the sense of Keras ("Total params")
is the published 2,507,018 for four bands and ten classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 64
"""Side in pixels of the patches that `CnnClass` takes."""


class CnnClass(nn.Module):
    """Patch classifier: float32 images (sample, band, 64, 64) to logits (sample, classes).

    Four pairs of 2x2 convolutions without padding, each pair followed by batch normalisation,
    ReLU, 2x2 max pooling and dropout, then dense layers of `2 * width`, `width` and `classes`.
    `width` is the number of filters: 256 is the published size, 32 trains well on two CPU cores.
    """

    def __init__(
        self, bands: int = 4, classes: int = 10, width: int = 256, dropout: float = 0.09
    ) -> None:
        super().__init__()
        self.pairs = nn.Sequential(
            _Pair(bands, width, dropout, composed=True),
            *(_Pair(width, width, dropout) for _ in range(3)),
        )
        self.dense = nn.Sequential(
            nn.Flatten(),
            *_dense(4 * width, 2 * width, dropout),
            *_dense(2 * width, width, dropout),
            nn.Linear(width, classes),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (sample, classes) of images (sample, band, 64, 64)."""
        logits: Tensor = self.dense(self.pairs(images))
        return logits


class _Pair(nn.Module):
    """Two 2x2 convolutions with nothing between them, then normalise, pool, ReLU, dropout.

    Nothing stands between the convolutions, so together they are one 3x3 convolution. With few
    input channels that one is far cheaper; `composed` computes it from the two kernels at each
    step: the same function of the same parameters, the same gradients.
    """

    def __init__(self, inputs: int, filters: int, dropout: float, composed: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, filters, 2)
        self.second = nn.Conv2d(filters, filters, 2)
        self.norm = nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01)  # the defaults of Keras
        self.dropout = nn.Dropout(dropout)
        self.composed = composed

    def forward(self, x: Tensor) -> Tensor:
        if self.composed:
            x = F.conv2d(x, *_compose(self.first, self.second))
        else:
            x = self.second(self.first(x))
        # ReLU is monotone, so it may follow the pooling, where there is a quarter of the values.
        pooled: Tensor = self.dropout(F.relu(F.max_pool2d(self.norm(x), 2)))
        return pooled


def _compose(first: nn.Conv2d, second: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Return kernel and bias of the one convolution that equals `second(first(x))`.

    Cross-correlations compose by the full convolution of their kernels, which is the
    cross-correlation of the padded first kernel with the flipped second one.
    """
    assert first.bias is not None
    assert second.bias is not None
    with torch.autocast(first.weight.device.type, enabled=False):  # kernels stay float32
        kernel = F.conv2d(first.weight.transpose(0, 1), second.weight.flip(2, 3), padding=1)
        bias = second.bias + second.weight.sum((2, 3)) @ first.bias
    return kernel.transpose(0, 1), bias


def _dense(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    norm = nn.BatchNorm1d(outputs, eps=1e-3, momentum=0.01)
    return [nn.Linear(inputs, outputs), norm, nn.ReLU(), nn.Dropout(dropout)]


def keras_parameter_count(model: nn.Module) -> int:
    """Return what Keras calls "Total params": all parameters and the moving mean and variance."""
    moving = (b for name, b in model.named_buffers() if name.endswith(("_mean", "_var")))
    return sum(t.numel() for t in [*model.parameters(), *moving])
