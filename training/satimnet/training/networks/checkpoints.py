"""A trained network together with all that is needed to use it, in one file."""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from satimnet.builder.arguments import checked
from satimnet.builder.errors import ArgumentError, BadCatalogError, NotFoundError, StorageError
from satimnet.builder.storage import objects
from satimnet.builder.storage.atomic_files import settle
from satimnet.builder.storage.hrefs import is_url, readable
from satimnet.builder.storage.stores import shown
from satimnet.training.devices import pick_device, reduced_precision
from satimnet.training.networks.models import CnnClass, CnnDual, CnnSegm
from satimnet.training.networks.outputs import Class, Output

KINDS = ("cnn-class", "cnn-segm", "cnn-dual")
LARGEST = 2**30
"""Bytes of a checkpoint that is downloaded; those of the published networks have a few million."""
_FORMAT = "satimnet checkpoint 1"


@dataclass(frozen=True)
class Checkpoint:
    """A network, what it takes and gives, and how it was made.

    kind: one of `KINDS`. width: filters of a convolution. bands: names of the bands it takes, in
    this order. outputs: what its logits mean; cnn-class has the output ``class``, cnn-segm
    ``mask``, cnn-dual both. mean, std: of each band over the training samples, in stored values
    (for Sentinel-2 reflectance times 10,000), by which images are normalised. settings: the
    arguments of the training, as plain values. history: per epoch the epoch, mean training loss,
    accuracy of each output on the held-out samples as a fraction, seconds from the start, and
    examples (patches or windows) per second. confusions: after the last epoch, for each output,
    numbers of held-out patches or pixels by true and predicted class.

    Example:
        >>> from satimnet.training import open_samples, train
        >>> learned, held = open_samples("catalog").search().holdout(0.25)
        >>> how = {"width": 4, "epochs": 1, "batch_size": 8, "device": "cpu"}
        >>> checkpoint = train(learned, held, "run/checkpoint.pt", **how)
        >>> next(held.to_batches(2)).images.shape
        torch.Size([2, 3, 64, 64])
        >>> checkpoint.logits(next(held.to_batches(2)).images)[0].shape
        torch.Size([2, 3])
    """

    model: CnnClass | CnnSegm | CnnDual
    kind: str
    width: int
    bands: tuple[str, ...]
    outputs: tuple[Output, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, float], ...] = ()
    confusions: tuple[tuple[tuple[int, ...], ...], ...] = ()

    def __repr__(self) -> str:
        """One line: a notebook shows it, and weights and history would flood the cell."""
        outputs = ", ".join(f"{one.name} of {len(one.classes)} classes" for one in self.outputs)
        return (
            f"<Checkpoint: {self.kind} of {self.width} filters; bands: {', '.join(self.bands)}; "
            f"gives {outputs}; epochs: {len(self.history)}>"
        )

    @property
    def dense(self) -> bool:
        """Whether the network classifies pixels, else whole patches."""
        return self.kind != "cnn-class"

    def logits(self, images: Tensor) -> tuple[Tensor, ...]:
        """For each output float32 logits of float32 images (sample, band, y, x).

        Those of cnn-class, for images of 64 x 64, are (sample, class). Those of the others, for
        images of any size, are (sample, class, y - 4, x - 4): pad by 2 on each side for all
        pixels. Images are stored values, as batches give them, on the device of the model.
        Without gradients, in evaluation mode.
        """
        self.model.eval()
        network = self.model if isinstance(self.model, CnnClass) else self.model.dense
        with torch.inference_mode(), reduced_precision(images.device):
            found = network(normalised(images, self.mean, self.std))
        return tuple(part.float() for part in (found if isinstance(found, tuple) else (found,)))

    def digest(self) -> str:
        """The SHA-256 of the network and of how images are normalised for it, in hex.

        The history has no part in it: its times differ when the same network is trained again.
        """
        made = (self.kind, self.width, self.bands, self.outputs, self.mean, self.std)
        digest = hashlib.sha256(repr(made).encode())
        for name, values in self.model.state_dict().items():
            digest.update(name.encode())
            digest.update(values.cpu().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the file, under another name first, so that it is never there in part.

        Raises `StorageError` when it cannot be written; a file that was there is left alone.
        """
        described = {
            name: [asdict(o) for o in value] if name == "outputs" else value
            for name, value in self.__dict__.items()
            if name != "model"
        }
        write(path, {"format": _FORMAT, **described, "state": state_of(self.model)})


def build(
    kind: str, bands: int, outputs: tuple[Output, ...], width: int, dropout: float | None = None
) -> CnnClass | CnnSegm | CnnDual:
    """A new network of a kind, for so many bands and these outputs.

    dropout: None is the published one.
    """
    counts = [len(output.classes) for output in outputs]
    dropped = {} if dropout is None else {"dropout": dropout}
    if kind == "cnn-class":
        return CnnClass(bands, counts[0], width, **dropped)
    if kind == "cnn-segm":
        return CnnSegm(bands, counts[0], width, **dropped)
    left, right = counts
    return CnnDual(bands, (left, right), width, **dropped)


@checked()
def load(
    path: str | os.PathLike[str],
    device: str | None = "cpu",
    *,
    kinds: tuple[str, ...] = KINDS,
    bands: tuple[str, ...] | None = None,
) -> Checkpoint:
    """Reads a checkpoint; runs no code out of the file.

    Args:
        path: the file that `train` wrote, on disk, on the web or in an object store.
        device: where the model is to be; None: the GPU if there is one.
        kinds: refuse other networks.
        bands: refuse networks that take other bands; None: any.

    Returns:
        The network with what is needed to use it.

    Raises:
        NotFoundError: the file is not there.
        StorageError: it cannot be read.
        BadCatalogError: it is no checkpoint of this project, or damaged.
        ArgumentError: its network is of another kind, or takes other bands.

    Example:
        >>> from satimnet.training import open_samples, train
        >>> learned, held = open_samples("catalog").search().holdout(0.25)
        >>> how = {"width": 4, "epochs": 1, "batch_size": 8, "device": "cpu"}
        >>> checkpoint = train(learned, held, "run/checkpoint.pt", **how)
        >>> load("run/checkpoint.pt").bands
        ('B02', 'B03', 'B04')
    """
    where = pick_device(device)
    instead = "give a checkpoint.pt that satimnet train wrote"
    content = read(path, _FORMAT, "checkpoint", where, instead)
    try:
        state = content.pop("state")
        outputs = tuple(
            Output(o["name"], tuple(Class(**row) for row in o["classes"]))
            for o in content.pop("outputs")
        )
        described = {name: _frozen(value) for name, value in content.items() if name != "format"}
        kind, width, names = described["kind"], described["width"], described["bands"]
        with torch.device("meta"):  # neither drawing initial values nor holding them
            dropout = described["settings"].get("dropout")  # what 0.2.0 wrote has none
            model = build(kind, len(names), outputs, width, dropout)
        _require_sound(state, model, described)
        model.load_state_dict(state, assign=True)
        found = Checkpoint(model.to(where), outputs=outputs, **described)
    except Exception as error:  # whatever a file with the right format but other content raises
        raise BadCatalogError(
            f"{shown(str(path))}: the checkpoint is damaged ({_first_line(error)}); train again"
        ) from error
    if found.kind not in kinds:
        raise ArgumentError(
            f"{shown(str(path))}: holds {found.kind}; give a checkpoint of {' or '.join(kinds)}"
        )
    if bands is not None and found.bands != bands:
        raise ArgumentError(
            f"{shown(str(path))}: trained on {_listed(found.bands)}; "
            f"the images have {_listed(bands)}"
        )
    return found


def _require_sound(
    state: Mapping[str, Tensor], model: nn.Module, described: Mapping[str, Any]
) -> None:
    """Raises `ValueError` for weights or moments that nothing can be computed with."""
    for name, ours in model.state_dict().items():
        theirs = state.get(name, ours)
        if theirs.dtype != ours.dtype:
            kinds = [str(part.dtype).removeprefix("torch.") for part in (theirs, ours)]
            raise ValueError(f"its weights {name} are {kinds[0]}, not {kinds[1]}")
        if not theirs.is_meta and not theirs.isfinite().all():
            raise ValueError(f"its weights {name} have values that are no numbers")
    for name in ("mean", "std"):
        values = described[name]
        if len(values) != len(described["bands"]):
            raise ValueError(f"{len(described['bands'])} bands, but {len(values)} values of {name}")
        for band, value in zip(described["bands"], values, strict=True):
            if not math.isfinite(value) or (name == "std" and value <= 0):
                raise ValueError(f"the {name} of band {band} is {value:g}")


def write(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Writes a file of plain values and tensors for `read`, all at once or not at all."""
    _write(path, lambda partial: torch.save(content, partial))


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file, all at once or not at all."""
    _write(path, lambda partial: partial.write_text(text))


def _write(path: str | os.PathLike[str], write_to: Callable[[Path], object]) -> None:
    path = Path(path)
    partial = _partial(path)
    try:
        write_to(partial)
        settle(partial, path)
    except (OSError, RuntimeError) as error:  # torch raises the latter on a full disk
        partial.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written ({_first_line(error)})") from error


def read(
    path: str | os.PathLike[str], expected: str, what: str, device: torch.device, instead: str
) -> dict[str, Any]:
    """Reads what `write` wrote, its tensors on `device`; its "format" is the expected one.

    Of any other file the error says what to do `instead`.
    """
    data = io.BytesIO(content_of(path))
    path = shown(os.fspath(path))
    try:
        content: dict[str, Any] = torch.load(data, map_location=device, weights_only=True)
        found = str(content["format"])
    except Exception:  # torch raises many kinds on foreign files
        # its words are kept back: they advise to run what a file of unknown origin says
        raise BadCatalogError(f"{path}: not a {what} of satimnet, or damaged; {instead}") from None
    if found != expected:
        raise BadCatalogError(
            f"{path}: not a {what} of satimnet but of the format {found[:50]!r}; {instead}"
        )
    return content


def content_of(path: str | os.PathLike[str]) -> bytes:
    """The bytes of such a file; one that is not on this machine may have at most `LARGEST`.

    Raises:
        NotFoundError: it is not there.
        StorageError: it cannot be read, or is larger.
    """
    place = os.fspath(path)
    if is_url(place):
        return objects.read(readable(place), most=LARGEST)
    try:
        with open(place, "rb") as file:
            return file.read()
    except OSError as error:
        kind = NotFoundError if isinstance(error, FileNotFoundError) else StorageError
        raise kind(f"{path}: cannot be read ({error.strerror})") from error


def discard(path: str | os.PathLike[str]) -> None:
    """Removes a file that `write` wrote, and what a killed `write` has left."""
    for file in (Path(path), _partial(Path(path))):
        file.unlink(missing_ok=True)


def normalised(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Images (sample, band, y, x) less the mean of each band, over its deviation."""
    shape = (1, -1, 1, 1)
    centre = torch.tensor(mean, device=images.device).view(shape)
    spread = torch.tensor(std, device=images.device).view(shape)
    return ((images - centre) / spread).contiguous(memory_format=torch.channels_last)


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of a model, on the CPU."""
    return {k: v.cpu().contiguous() for k, v in model.state_dict().items()}


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _listed(bands: tuple[str, ...]) -> str:
    return f"{len(bands)} bands ({', '.join(bands)})"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
