"""Networks learn what is planted, from chips and from windows, and nothing where labels are wrong.

The detector is `heat_map_detector`, of plain torch; it is judged by pycocotools. The U-Net is
monai's.
"""

import pytest
import torch
from heat_map_detector import average_precision, found_in, network, train
from planted_objects import write_dota, write_inria
from torch.nn.functional import cross_entropy

from satimnet.builder.chipping import chip
from satimnet.builder.pipeline import build
from satimnet.training import open_samples

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
OBJECTS = {"objects": "boxes", "labels": None, "scale": 1 / 255}


@pytest.fixture(scope="module")
def scenes(once):
    """A catalog of scenes with ships and tanks, and of chips of them."""

    def make(folder):
        write_dota(folder / "source")
        build([folder / "source"], folder / "catalog")
        chip(folder / "catalog", "dota", (256, 256))

    return once("planted-objects", make) / "catalog"


class Epochs:
    """Images and targets of several epochs, in another order each."""

    def __init__(self, dataset, epochs, shuffled=False):
        self.dataset, self.epochs, self.shuffled = dataset, epochs, shuffled

    def __len__(self):
        return self.epochs * len(self.dataset)

    def __iter__(self):
        for epoch in range(self.epochs):
            self.dataset.set_epoch(epoch)
            for batch in self.dataset:
                order = torch.arange(len(batch.objects))
                if self.shuffled:  # each image has the objects of another one
                    order = order.roll(1)
                yield batch.images, [batch.objects[k] for k in order]


def learned(samples, epochs, shuffled=False, **how):
    torch.manual_seed(0)
    dataset = samples.to_dataset(4, shuffle=True, **OBJECTS, **how)
    return train(network(len(samples.classes)), Epochs(dataset, epochs, shuffled))


def judged(model, samples, **how):
    found, targets = [], []
    for batch in samples.to_batches(8, **OBJECTS, **how):
        found += found_in(model, batch.images)
        targets += batch.objects
    return average_precision(found, targets)


def parts(catalog, collection):
    return (catalog.search(collections=collection, split=s) for s in ("train", "validation"))


def test_a_detector_finds_what_is_planted_on_chips(scenes):
    learn, held_out = parts(open_samples(scenes), "dota-chips")
    assert judged(learned(learn, 7), held_out) >= 0.9


def test_a_detector_finds_what_is_planted_in_windows(scenes):
    learn, held_out = parts(open_samples(scenes), "dota")
    model = learned(learn, 7, window=256, snap=False)
    assert judged(model, held_out, window=256, windows="grid") >= 0.9


def test_a_detector_learns_nothing_from_objects_of_other_images(scenes):
    learn, held_out = parts(open_samples(scenes), "dota-chips")
    # Bright objects stand out, so some are found by chance by a network that has learned nothing.
    assert judged(learned(learn, 7, shuffled=True), held_out) < 0.1


def test_a_perfect_and_a_poor_detector_are_judged_so():
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 30]])
    target = {"boxes": boxes, "labels": torch.tensor([1, 2])}
    scored = target | {"scores": torch.tensor([0.9, 0.8])}
    assert average_precision([scored], [target]) == pytest.approx(1)
    away = scored | {"boxes": boxes + 9}
    assert average_precision([away], [target]) == 0


@pytest.mark.examples
def test_a_unet_finds_what_is_planted(once):
    nets = pytest.importorskip("monai.networks.nets", reason="needs the extra examples")

    def make(folder):
        write_inria(folder / "source")
        build([folder / "source"], folder / "catalog")
        chip(folder / "catalog", "inria", (80, 80))

    catalog = open_samples(once("planted-masks", make) / "catalog")
    learn = catalog.search(collections="inria-chips", filter="inria:city = 'austin'")
    held_out = catalog.search(collections="inria-chips", filter="inria:city = 'vienna'")
    torch.manual_seed(0)
    how = {"channels": (16, 32, 64, 64), "strides": (2, 2, 2), "num_res_units": 1}
    model = nets.UNet(2, 3, 2, **how)
    dataset = learn.to_dataset(8, shuffle=True, mask="mask", labels=None, scale=1 / 255)
    epochs = 12
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, epochs * len(dataset))
    for epoch in range(epochs):
        dataset.set_epoch(epoch)
        for batch in dataset:
            loss = cross_entropy(model(batch.images), batch.masks.long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    table = torch.zeros(2, 2)
    with torch.no_grad():
        for batch in held_out.to_batches(32, mask="mask", labels=None, scale=1 / 255):
            found = model.eval()(batch.images).argmax(1)
            table += torch.bincount((2 * batch.masks.long() + found).flatten(), minlength=4).view(
                2, 2
            )
    both = table.diag()
    assert (both / (table.sum(0) + table.sum(1) - both)).mean() >= 0.95
