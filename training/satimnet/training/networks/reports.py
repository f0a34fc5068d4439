"""Reports: what is kept of how a network did, as metrics.json and pictures in a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from satimnet.builder.arguments import checked
from satimnet.builder.errors import SatimnetError, StorageError
from satimnet.builder.storage.atomic_files import write
from satimnet.builder.storage.hrefs import on_disk
from satimnet.builder.storage.staging import lock
from satimnet.training.data.training_samples import Samples
from satimnet.training.networks.checkpoints import Checkpoint
from satimnet.training.networks.evaluation import Evaluation
from satimnet.training.networks.plots import draw_confusion, draw_curves, draw_predictions


@checked()
def write_report(
    evaluations: Mapping[str, Evaluation],
    checkpoint: Checkpoint,
    out: str | os.PathLike[str],
    samples: Samples | None = None,
) -> list[Path]:
    """Writes metrics.json and pictures into a folder.

    The pictures are a confusion matrix of each output, the network's learning curves, and for
    networks that classify pixels predictions on some of the samples, if there are any.

    Args:
        evaluations: how each output did, by its name: from `evaluate` or `held_out`.
        checkpoint: the network.
        out: the folder; it is made if it is not there.
        samples: those from which predictions are drawn; None: no predictions.

    Returns:
        The files, metrics.json first.

    Raises:
        StorageError: the files cannot be written.
        SatimnetError: another run is writing them, or the samples lack bands or masks.

    Example:
        >>> from satimnet.training import held_out, open_samples, train
        >>> learned, held = open_samples("catalog").search().holdout(0.25)
        >>> how = {"width": 4, "epochs": 1, "batch_size": 8, "device": "cpu"}
        >>> checkpoint = train(learned, held, "run/checkpoint.pt", **how)
        >>> files = write_report(held_out(checkpoint), checkpoint, "run")
        >>> [file.name for file in files]
        ['metrics.json', 'confusion.png', 'curves.png']
    """
    folder = on_disk(out)
    files = [folder / "metrics.json"]
    metrics = {name: one.metrics() for name, one in evaluations.items()}
    try:
        with lock(files[0]):
            write(files[0], (json.dumps(metrics, indent=2) + "\n").encode())
            for name, evaluation in evaluations.items():
                named = f"confusion-{name}.png" if len(evaluations) > 1 else "confusion.png"
                files.append(folder / named)
                draw_confusion(evaluation, files[-1])
            files.append(folder / "curves.png")
            draw_curves(checkpoint.history, files[-1])
            if checkpoint.dense and samples is not None:
                files.append(folder / "predictions.png")
                draw_predictions(samples, [checkpoint], files[-1])
    except SatimnetError:
        raise
    except OSError as error:
        raise StorageError(f"{out}: cannot be written ({error.strerror})") from error
    return files
