import numpy as np
import pytest
import torch

from satimnet.training.networks.draws import numbers, orientations, shuffled
from satimnet.training.networks.training_state import _turned
from satimnet.training.networks.windows import draw_windows, hold_out_windows

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def splitmix64(count, seed):
    """As its authors write it, in Python's unbounded numbers."""
    state = seed
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) % 2**64
        yield mixed ^ (mixed >> 31)


@pytest.mark.parametrize("seed", [0, 1, 2**62 + 5, 2**63 - 1, 2**64 - 1])
def test_numbers_are_those_of_splitmix64(seed):
    found = numbers(1000, seed).numpy().view(np.uint64)
    assert found.tolist() == list(splitmix64(1000, seed))


def test_an_order_sorts_by_the_numbers_of_its_seed():
    keys = numbers(5000, 7).tolist()
    assert shuffled(5000, 7).tolist() == sorted(range(5000), key=keys.__getitem__)
    assert shuffled(0, 7).tolist() == []


def test_orders_are_drawn_uniformly():
    found = torch.stack([shuffled(4, seed) for seed in range(24_000)])
    codes = (found * torch.tensor([64, 16, 4, 1])).sum(1)
    counts = torch.bincount(codes)[codes.unique()].double()
    assert len(counts) == 24
    # chi-square with 23 degrees of freedom: 49.7 is exceeded by one in a thousand
    assert ((counts - 1000) ** 2 / 1000).sum() < 49.7


def test_all_orientations_are_drawn_alike():
    counts = torch.bincount(orientations(80_000, 3)).double()
    assert len(counts) == 8
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 24.3  # 7 degrees of freedom


def test_images_are_turned_as_drawn():
    images = torch.arange(8 * 2 * 9).view(8, 2, 3, 3).float()
    drawn = torch.tensor([7, 0, 1, 2, 3, 4, 5, 6])
    for image, turn, found in zip(images, drawn.tolist(), _turned(images, drawn), strict=True):
        wanted = np.rot90(image.numpy(), turn % 4, (1, 2))
        assert np.array_equal(found, wanted[..., ::-1] if turn >= 4 else wanted)


def drawn_on(device):
    held = hold_out_windows(10_001, 0.2, 5, device)
    learned, watched = draw_windows(3000, held, 6)
    return [numbers(10_001, 2**63 - 1, device), shuffled(10_001, 4, device), held, learned, watched]


def test_windows_are_held_out_and_drawn_by_the_seed():
    # these numbers are part of every published result: none may change
    _, order, held, learned, watched = drawn_on(torch.device("cpu"))
    assert order[:5].tolist() == [8911, 5835, 2859, 7706, 5875]
    assert held.nonzero().flatten()[:5].tolist() == [0, 5, 8, 10, 13]
    assert learned[:5].tolist() == [4, 16, 21, 22, 26]
    assert (len(learned) + len(watched), int(held.sum())) == (3000, 2001)
    assert held[watched].all()
    assert not held[learned].any()


@NEEDS_GPU
def test_a_gpu_draws_the_same():
    for ours, theirs in zip(drawn_on(torch.device("cpu")), drawn_on(torch.device("cuda"))):
        assert torch.equal(ours, theirs.cpu())
