"""The three networks: counts, layers one by one, dense evaluation."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from satimnet.training.networks.models import (
    CnnClass,
    CnnDual,
    CnnSegm,
    keras_parameter_count,
)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("network", "counts"),
    [  # with 3, 4 (what the paper reports) and 13 bands
        (CnnClass, [2_505_994, 2_507_018, 2_516_234]),
        (CnnSegm, [859_139, 860_163, 869_379]),
        (CnnDual, [1_258_253, 1_259_277, 1_268_493]),
    ],
)
def test_networks_have_the_published_counts(network, counts):
    assert [keras_parameter_count(network(bands)) for bands in (3, 4, 13)] == counts


def scrambled(network, *shape):
    """The network with biases and moving statistics that are not what they begin as."""
    torch.manual_seed(0)
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        if name.endswith(("bias", "mean")):
            nn.init.normal_(value, std=0.05)
        elif name.endswith("var"):
            nn.init.uniform_(value, 0.5, 2)
    return network, torch.randn(shape).to(next(network.parameters()).dtype)


@pytest.mark.parametrize("network", [CnnSegm, CnnDual])
@pytest.mark.parametrize("width", [32, None])  # None: the published width
def test_dense_evaluation_is_window_by_window(network, width):
    model = network(4) if width is None else network(4, width=width)
    model, image = scrambled(model.eval(), 1, 4, 97, 83)
    with torch.inference_mode():
        padded = F.pad(image, (2, 2, 2, 2), mode="reflect")
        windows = padded.unfold(2, 5, 1).unfold(3, 5, 1)[0]  # band, y, x, 5, 5
        windows = windows.permute(1, 2, 0, 3, 4).flatten(0, 1)
        single = [model(part) for part in windows.split(2048)]
        dense = model.dense(padded)
    if network is CnnSegm:
        single, dense = [(part,) for part in single], (dense,)
    for maps, parts in zip(dense, zip(*single, strict=True), strict=True):
        reference = torch.cat(parts).T.reshape(maps[0].shape)
        assert maps.shape[2:] == (97, 83)
        assert reference.argmax(0).unique().numel() > 1  # not all pixels are of one class
        assert maps[0].argmax(0).equal(reference.argmax(0))
        assert (maps[0] - reference).norm() <= 1e-6 * reference.norm()


def compare(model, plain, images):
    """The same values and gradients, in training (where normalising hides the biases) and not."""
    weights = list(model.parameters())
    for training in (False, True):
        model.train(training)
        results = []
        for function in (model, plain):
            outputs = function(images)
            logits = torch.cat(outputs, 1) if isinstance(outputs, tuple) else outputs
            gradients = torch.autograd.grad(logits.square().sum(), weights)
            results.append((logits, *gradients))
        for ours, reference in zip(*results, strict=True):
            torch.testing.assert_close(ours, reference, rtol=1e-9, atol=1e-10)


def test_cnn_class_is_the_layers_one_by_one():
    """The composed first pair and the pooling before ReLU change nothing."""
    model, images = scrambled(CnnClass(4, classes=5, width=8, dropout=0).double(), 6, 4, 64, 64)

    def plain(x):
        for pair, norm, *_ in model.pairs:
            x = F.max_pool2d(F.relu(norm(pair.second(pair.first(x)))), 2)
        return model.dense(x)

    compare(model, plain, images)
    assert [block[0].composed for block in model.pairs] == [True, False, False, False]


def test_cnn_segm_is_the_layers_one_by_one():
    model, windows = scrambled(CnnSegm(4, classes=5, width=8, dropout=0).double(), 40, 4, 5, 5)
    first, norm_1, _, _, second, norm_2, _, _, dense, _, _, last = model.layers

    def plain(x):
        x = torch.tanh(norm_1(first.second(first.first(x))))
        x = torch.tanh(norm_2(second.second(second.first(x)))).flatten(1)
        x = torch.tanh(F.linear(x, dense.weight.flatten(1), dense.bias))
        return F.linear(x, last.weight.flatten(1), last.bias)

    compare(model, plain, windows)


def test_cnn_dual_is_two_branches_coupled_three_times():
    model, windows = scrambled(CnnDual(4, (5, 3), width=8, dropout=0).double(), 40, 4, 5, 5)
    convolutions = [layer for layer in model.layers if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in model.layers if isinstance(layer, nn.BatchNorm2d)]

    def layer(k, side, x):
        """Layer `k` of the branch `side` (0 left, 1 right): its half of the channels."""
        count = convolutions[k].out_channels // 2
        half = slice(side * count, (side + 1) * count)
        x = F.conv2d(x, convolutions[k].weight[half], convolutions[k].bias[half])
        norm = norms[k]
        moving = None if model.training else (norm.running_mean[half], norm.running_var[half])
        x = F.batch_norm(
            *(x, *(moving or (None, None)), norm.weight[half], norm.bias[half]),
            training=model.training,
            eps=1e-3,
        )
        return F.relu(x)

    def plain(x):
        left, right = (layer(1, side, layer(0, side, x)) for side in (0, 1))
        both = torch.cat((left, right), 1)
        left, right = (layer(3, side, layer(2, side, both)) for side in (0, 1))
        both = torch.cat((left, right), 1)
        left, right = (layer(4, side, both) for side in (0, 1))
        both = torch.cat((left, right), 1).flatten(1)
        weight, bias = convolutions[5].weight.flatten(1), convolutions[5].bias
        return F.linear(both, weight[:5], bias[:5]), F.linear(both, weight[5:], bias[5:])

    compare(model, plain, windows)


def test_kernels_are_drawn_as_in_the_paper():
    """Xavier normal for class and segm, He uniform for dual; biases 0."""
    torch.manual_seed(0)
    segm, dual = CnnSegm(4), CnnDual(4)
    kernel = segm.layers[4].first.weight  # 256 to 256 by 2x2
    assert kernel.std().item() == pytest.approx((2 / (4 * 256 + 4 * 256)) ** 0.5, rel=0.01)
    limit = (6 / (4 * 128)) ** 0.5  # the branch alone is the fan in: 128 channels by 2x2
    kernel = dual.layers[3].weight
    assert kernel.abs().max().item() == pytest.approx(limit, rel=1e-3)
    assert kernel.std().item() == pytest.approx(limit / 3**0.5, rel=0.01)
    for model in (segm, dual, CnnClass(4)):
        for name, value in model.named_parameters():
            assert not name.endswith("bias") or not value.any()
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
                assert (layer.eps, layer.momentum) == (1e-3, 0.01)
