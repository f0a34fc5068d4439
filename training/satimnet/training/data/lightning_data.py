"""The LightningDataModule of samples; importing this needs lightning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from satimnet.builder.errors import ArgumentError
from satimnet.builder.storage.hrefs import is_url
from satimnet.training.data.batch_options import BatchOptions
from satimnet.training.data.torch_dataset import BatchDataset
from satimnet.training.data.training_samples import Samples


class BatchDataModule(LightningDataModule):  # type: ignore[misc]  # mypy does not look into it
    """The batches of the parts of a training set; `satimnet.training.data_module` makes it."""

    def __init__(
        self,
        parts: Mapping[str, Samples],
        batch_size: int,
        options: BatchOptions,
        workers: int,
        convert: Callable[..., Any] | None,
    ) -> None:
        super().__init__()
        self._parts = parts
        self._batch_size = batch_size
        self._options = options
        self._workers = workers
        self._convert = convert
        for part in parts:  # what cannot be is refused now, not in the middle of a training
            self._dataset(part)

    def train_dataloader(self) -> DataLoader[Any]:
        """The samples to learn from."""
        loader = self._loader("train", _EpochLoader)
        assert isinstance(loader, _EpochLoader)
        loader.module = self
        return loader

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """The samples that are judged while the network learns; none where there are none."""
        return self._loader("validation") if "validation" in self._parts else []

    def test_dataloader(self) -> DataLoader[Any]:
        """The samples of the test."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        """The samples to predict."""
        return self._loader("predict")

    @property
    def epoch(self) -> int:
        """The number of the epoch that the Trainer is in."""
        return 0 if self.trainer is None else int(self.trainer.current_epoch)

    def _dataset(self, part: str) -> BatchDataset:
        options = BatchOptions(shuffle=True) | self._options
        if part != "train":
            options |= BatchOptions(shuffle=False, drop_last=False, windows="grid")
            options.pop("windows_per_image", None)
        if self.trainer is not None:
            rank, ranks = self.trainer.global_rank, self.trainer.world_size
            options |= BatchOptions(rank=rank, world_size=ranks)
        return self._parts[part].to_dataset(self._batch_size, **options)

    def _loader(self, part: str, kind: type[DataLoader[Any]] = DataLoader) -> DataLoader[Any]:
        if part not in self._parts:
            raise ArgumentError(f"the data module has no samples for {part}; give {part}=…", part)
        samples = self._parts[part]
        far = any(is_url(home.parquet) for home in samples.collections.values())
        return kind(
            self._dataset(part),
            batch_size=None,
            num_workers=self._workers,
            # a forked process cannot read from a store
            multiprocessing_context="spawn" if far and self._workers else None,
            collate_fn=None if self._convert is None else partial(_of, self._convert, samples),
        )


class _EpochLoader(DataLoader[Any]):
    """A loader whose dataset is told the epoch whenever a pass over it begins."""

    module: BatchDataModule

    def __iter__(self) -> Any:
        self.dataset.set_epoch(self.module.epoch)  # type: ignore[attr-defined]
        return super().__iter__()


def _of(convert: Callable[..., Any], samples: Samples, batch: Any) -> Any:
    """What is made of a batch of the samples; a function of a module, since workers pickle it."""
    return convert(batch, samples)
