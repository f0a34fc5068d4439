"""Samples that people look at: one by one, as a picture, in a notebook, in the explorer."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, SupportsIndex, overload

import numpy as np

from satimnet.builder.arguments import at_least, checked
from satimnet.builder.errors import ArgumentError, CatalogWarning, WrongTypeError
from satimnet.training.data.explorer_address import Asked
from satimnet.training.data.image_assets import require_samples
from satimnet.training.data.mixed_choice import mixed_choice
from satimnet.training.data.sample_table import SampleTable
from satimnet.training.data.single_sample import Sample, sample_at

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class ShownSamples(SampleTable):
    """Rows of the item table that people look at.

    Attributes:
        asked: What was searched for, and where; None where the samples are of no one search.
    """

    asked: Asked | None = None

    @overload
    def __getitem__(self, index: SupportsIndex) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: Any) -> Sample | Self:
        """One sample by its number, from the end if that is negative; several by a slice.

        Raises:
            IndexError: There is no sample of that number.
            WrongTypeError: It is neither a number nor a slice.
        """
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return self.slice(start, max(0, stop - start))
            return self.subset(np.arange(start, stop, step))
        try:
            at = operator.index(index)
        except TypeError:
            raise WrongTypeError(
                f"samples[{index!r:.40}]: give a number or a slice; samples.subset([3, 1]) are "
                "samples of several numbers"
            ) from None
        if not -len(self) <= at < len(self):
            raise IndexError(f"no sample {at}; there are {len(self):,}, from 0")
        return sample_at(self, at % len(self))

    def __getitems__(self, indices: object) -> NoReturn:
        """Raises `WrongTypeError`: torch's DataLoader asks so for what it would put together."""
        raise WrongTypeError(
            "samples are not put together one by one: samples.to_batches(64) are their pixels, and "
            "DataLoader(samples.to_dataset(64), batch_size=None) gives torch the same"
        )

    def __iter__(self) -> Iterator[Sample]:
        """One sample after another; `Samples.to_batches` reads them many times as fast."""
        return (sample_at(self, at) for at in range(len(self)))

    def _repr_html_(self) -> str:
        """What notebooks show: numbers, and small pictures of a few samples."""
        from satimnet.training.data.samples_html import html_of

        return html_of(self)

    @checked()
    def plot(
        self,
        n: int = 12,
        *,
        overlay: Literal["auto", "mask", "objects"] | None = "auto",
        bands: Sequence[str] | None = None,
        seed: int = 0,
        columns: int | None = None,
    ) -> Figure:
        """Draws some of the samples with their classes.

        Args:
            n: How many at most, 1 to 100. If there are more samples, they are drawn by the seed, of
                as many collections and classes as can be.
            overlay: What is drawn over the images, in the colours of the class table: "mask" or
                "objects", of samples that have them; "auto" takes objects, else the mask. None
                draws images alone.
            bands: Names of one band or of three, shown as red, green and blue. By default an image
                is shown in its natural colours, or its first band.
            seed: 0 or more. The same seed draws the same samples.
            columns: Pictures in a row.

        Returns:
            A figure of matplotlib, which notebooks show; its ``savefig`` writes it. Values of more
            than 8 bits are stretched, those of a collection alike. Large scenes are shrunk while
            they are read.

        Raises:
            SatimnetError: There are no samples, none can be read, or none has what is to be drawn
                over it.

        Example:
            >>> from satimnet.training import open_samples
            >>> samples = open_samples("catalog").search(collections=["eurosat"])
            >>> figure = samples.plot(10, bands=["B08", "B04", "B03"])
            >>> sorted(axes.get_title() for axes in figure.axes)[:2]
            ['Annual crop', 'Forest']
        """
        from satimnet.training.plot.figures import MOST, draw_items

        at_least(1, n=n)
        at_least(0, seed=seed)
        if n > MOST:
            raise ArgumentError(f"n {n}: a figure has {MOST} pictures at most", "n")
        require_samples(self)
        numbers = range(len(self)) if len(self) <= n else mixed_choice(self, n, seed).tolist()
        chosen = [sample_at(self, at) for at in numbers]
        pairs = [(one.item, self.collections[one.collection].document) for one in chosen]
        return draw_items(pairs, overlay=overlay, bands=bands, columns=columns, crop=self.crop)

    @checked()
    def explore(self, *, open_browser: bool = True) -> str:
        """Opens the explorer's page for the catalog, with the filters of the search.

        A server on this machine shows it until this process ends; nobody else reaches it. The page
        shows the current versions, and all that the search found, also after samples were divided.

        Args:
            open_browser: Whether to have a browser show it.

        Returns:
            The address of the page.

        Raises:
            ArgumentError: The samples are of no one search.
            SatimnetError: The catalog cannot be served, or the extra ``serve`` is not installed.

        Example:
            >>> from satimnet.training import open_samples
            >>> samples = open_samples("catalog").search(classes=["Forest", "River"])
            >>> samples.explore(open_browser=False).partition("#")[2]
            'class=Forest&class=River'
        """
        if self.asked is None:
            raise ArgumentError("the samples are of several searches; explore those of one")
        try:
            from satimnet.builder.server.background import address_of
        except ModuleNotFoundError as error:
            raise ArgumentError(
                f"{error.name}: not installed; pip install 'satimnet[serve]'"
            ) from None
        if self.asked.unsaid:
            warnings.warn(
                CatalogWarning(
                    f"the explorer has no filter for {', '.join(self.asked.unsaid)}: its page "
                    "shows more than these samples"
                ),
                stacklevel=3,
            )
        served = address_of(self.asked.href, allow_outside=self.asked.allow_outside)
        address = self.asked.at(f"{served}explore/")
        if open_browser:
            import webbrowser

            webbrowser.open(address)
        return address
