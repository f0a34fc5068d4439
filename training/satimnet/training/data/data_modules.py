"""The parts of a training set as one LightningDataModule."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

from satimnet.builder.arguments import checked
from satimnet.builder.errors import ArgumentError
from satimnet.training.data.batch_options import DEFAULTS, BatchOptions
from satimnet.training.data.optional_packages import needed
from satimnet.training.data.training_samples import Samples

if TYPE_CHECKING:
    from satimnet.training.data.lightning_data import BatchDataModule


@checked(defaults=DEFAULTS)
def data_module(
    batch_size: int,
    *,
    train: Samples | None = None,
    validation: Samples | None = None,
    test: Samples | None = None,
    predict: Samples | None = None,
    workers: int = 0,
    convert: Callable[..., Any] | None = None,
    **options: Unpack[BatchOptions],
) -> BatchDataModule:
    """Makes a LightningDataModule of samples; it needs the extra ``lightning``.

    The samples to learn from are shuffled, unless ``shuffle=False``: in each epoch anew, by the
    seed and the number of the epoch, which draws other windows as well. All others are read in
    order, and windows of them side by side. Each process of a training in several reads its share.

    Args:
        batch_size: Samples in a batch, 1 or more.
        train: The samples to learn from.
        validation: Those that are judged while the network learns.
        test: Those of ``Trainer.test``.
        predict: Those of ``Trainer.predict``.
        workers: How many processes of torch's DataLoader read; 0: the one that trains.
        convert: What makes something else of each batch, called as ``convert(batch, samples)``,
            such as `to_torchgeo`. By default batches stay as they are.
        **options: Those of `Samples.to_batches`, but device, threads, scheduler, rank and
            world_size.

    Returns:
        The data module, for ``Trainer.fit(network, datamodule=…)``.

    Raises:
        ArgumentError: No samples are given, or as `Samples.to_batches`.
        SatimnetError: lightning is not installed, or as `Samples.to_batches`.

    Example:
        >>> from satimnet.training import data_module, open_samples
        >>> samples = open_samples("catalog").search(collections=["eurosat"])
        >>> learned, held_out = samples.holdout(0.25)
        >>> data = data_module(8, train=learned, validation=held_out, bands=["B04", "B08"])
        >>> next(iter(data.train_dataloader())).images.shape
        torch.Size([8, 2, 64, 64])
    """
    given = {"train": train, "validation": validation, "test": test, "predict": predict}
    parts = {name: samples for name, samples in given.items() if samples is not None}
    if not parts:
        raise ArgumentError(f"there are no samples; give one of {', '.join(given)}", *given)
    if workers < 0:
        raise ArgumentError(f"workers {workers}: give 0 or more", "workers")
    for name in ("rank", "world_size"):
        if name in options:
            raise ArgumentError(f"{name} is said by the Trainer; leave it out", name)
    needed("lightning.pytorch", "lightning")
    from satimnet.training.data.lightning_data import BatchDataModule

    return BatchDataModule(parts, batch_size, options, workers, convert)
