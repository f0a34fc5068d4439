"""The LightningDataModule: each epoch has an order of its own, each part is read whole."""

import subprocess
import sys

import pytest
import torch
from examples.networks.torchvision_cpu import import_torchvision
from torch import nn

from satimnet.builder.errors import ArgumentError
from satimnet.training import data_module, open_samples, to_torchgeo


def test_without_lightning_one_line_says_what_to_install(catalog):
    program = (
        "import sys; sys.modules['lightning'] = None\n"
        "from satimnet.training import *\n"
        f"samples = open_samples({str(catalog)!r}).search()\n"
        "try: data_module(4, train=samples)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == (
        "SatimnetError lightning is not installed; pip install 'satimnet[lightning]'\n"
    )


@pytest.fixture(scope="module")
def lightning():
    import_torchvision()  # lightning does
    return pytest.importorskip("lightning.pytorch", reason="needs the extra lightning")


@pytest.fixture(scope="module")
def parts(catalog):
    learned, held_out = open_samples(catalog).search(bands=["B04", "B08"]).holdout(0.25)
    return {"train": learned, "validation": held_out, "test": held_out, "predict": learned}


def watcher(lightning):
    """A network that writes down which samples it is given."""

    class Watcher(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 10)
            self.seen = {"train": [[]], "validation": [], "test": []}

        def loss(self, batch):
            means = batch.images.mean((2, 3)) * 1e-4
            return nn.functional.cross_entropy(self.layer(means), batch.labels)

        def training_step(self, batch, _):
            self.seen["train"][-1] += batch.indices.tolist()
            return self.loss(batch)

        def on_train_epoch_end(self):
            self.seen["train"].append([])

        def validation_step(self, batch, _):
            self.seen["validation"] += batch.indices.tolist()

        def test_step(self, batch, number):
            self.seen["test"] += batch.indices.tolist()

        def predict_step(self, batch, _):
            return batch.indices

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    return Watcher()


def trainer(lightning, folder, epochs):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return lightning.Trainer(accelerator="cpu", max_epochs=epochs, default_root_dir=folder, **quiet)


@pytest.mark.slow
@pytest.mark.examples
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 2])
def test_epochs_differ_and_are_those_of_the_seed(lightning, parts, tmp_path, workers):
    data = data_module(4, **parts, workers=workers, bands=["B04", "B08"], seed=3)
    network, runner = watcher(lightning), trainer(lightning, tmp_path, 2)
    runner.fit(network, datamodule=data)
    runner.test(network, datamodule=data, verbose=False)
    predicted = torch.cat(runner.predict(network, datamodule=data)).tolist()
    everything = list(range(len(parts["train"])))
    first, second, _ = network.seen["train"]
    wanted = []
    for epoch in (0, 1):
        batches = parts["train"].to_batches(4, bands=["B04"], shuffle=True, seed=3 + epoch)
        wanted.append([index for batch in batches for index in batch.indices.tolist()])
    assert [first, second] == wanted
    assert sorted(first) == sorted(second) == predicted == everything
    assert network.seen["test"] == list(range(len(parts["test"])))
    assert network.seen["validation"][-len(parts["test"]) :] == network.seen["test"]


@pytest.mark.slow
@pytest.mark.examples
@pytest.mark.filterwarnings("ignore")
def test_a_training_that_goes_on_does_so_in_the_order_of_its_epoch(lightning, parts, tmp_path):
    data = data_module(4, train=parts["train"], bands=["B04", "B08"])
    whole, half, rest = (watcher(lightning) for _ in range(3))
    trainer(lightning, tmp_path, 2).fit(whole, datamodule=data)
    runner = trainer(lightning, tmp_path, 1)
    runner.fit(half, datamodule=data)
    runner.save_checkpoint(tmp_path / "half.ckpt")
    trainer(lightning, tmp_path, 2).fit(rest, datamodule=data, ckpt_path=tmp_path / "half.ckpt")
    assert half.seen["train"][0] == whole.seen["train"][0]
    assert rest.seen["train"][0] == whole.seen["train"][1]


@pytest.mark.slow
@pytest.mark.examples
def test_batches_are_converted_also_in_workers(lightning, parts):
    data = data_module(4, train=parts["train"], workers=1, convert=to_torchgeo)
    batches = list(data.train_dataloader())
    assert sum(len(batch["label"]) for batch in batches) == len(parts["train"])
    assert batches[0].keys() == {"image", "label", "bounds", "transform"}


@pytest.mark.slow
@pytest.mark.examples
def test_what_cannot_be_is_refused_at_once(lightning, parts):
    with pytest.raises(ArgumentError, match="give one of train, validation, test, predict"):
        data_module(4)
    with pytest.raises(ArgumentError, match="no image has the bands B99"):
        data_module(4, validation=parts["validation"], bands=["B99"])
    with pytest.raises(ArgumentError, match="rank is said by the Trainer"):
        data_module(4, train=parts["train"], rank=1)
    with pytest.raises(ArgumentError, match="give test="):
        data_module(4, train=parts["train"]).test_dataloader()
