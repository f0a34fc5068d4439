"""Split lists: files that say which samples are for training, validation and testing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.errors import ArgumentError
from satimnet.builder.samples import Problem


@dataclass(slots=True)
class _Family:
    """Lists that divide the samples together."""

    place: str
    """How messages name the first of them."""
    splits: dict[str, str | None] = field(default_factory=dict)
    """By name of the sample; None where its lists contradict each other."""


class SplitLists:
    """What the lists of a source say of its samples.

    A source may have several families of lists, each of which divides the samples in its own way. A
    sample has the split that all of them give it, or that of the family ``chosen``, and none where
    lists contradict each other.

    Example:
        >>> from stactools.eurosat import dataset
        >>> lists = SplitLists(dataset.record)
        >>> lists.add(["Forest_1", "River_1"], "train", "train.txt")
        >>> lists.add(["Forest_1"], "test", "test.txt")
        >>> lists.split("River_1"), lists.split("Forest_1")
        ('train', None)
        >>> [problem.reason for problem in lists.problems()]
        ['in lists of several splits: 1 names, first Forest_1; they get no split']
    """

    def __init__(self, record: DatasetRecord, chosen: str | None = None) -> None:
        """No lists yet.

        Args:
            record: the dataset's, for messages.
            chosen: name of the family of lists that counts; None if all do.
        """
        self._dataset = record.id
        self._chosen = chosen
        self._families: dict[str, _Family] = {}

    def add(self, names: Iterable[str], split: str, place: str, family: str = "") -> None:
        """Takes a list of samples that are all of one split.

        Args:
            names: the samples' names.
            split: ``train``, ``validation`` or ``test``.
            place: how messages name the list.
            family: name of the family that the list is of.
        """
        splits = self._families.setdefault(family, _Family(place)).splits
        for name in names:
            if splits.setdefault(name, split) != split:
                splits[name] = None

    def split(self, name: str) -> str | None:
        """The split of a sample; None if no list has it or they contradict each other."""
        if not self._families:
            return None
        found = {f.splits[name] for f in self._used() if name in f.splits}
        return found.pop() if len(found) == 1 else None

    def problems(self) -> Iterator[Problem]:
        """The contradictions.

        Raises:
            ArgumentError: the chosen family is not there.
        """
        if self._chosen is not None and self._chosen not in self._families:
            there = ", ".join(sorted(filter(None, self._families))) or "none that has a name"
            raise ArgumentError(
                f"{self._dataset}.splits={self._chosen}: "
                f"the source has no such lists; there are {there}",
                "options",
            )
        used = self._used()
        for family in used:
            if twice := [name for name, split in family.splits.items() if split is None]:
                reason = f"in lists of several splits: {_counted(twice)}; they get no split"
                yield Problem(family.place, reason, "incomplete")
        if len(used) > 1:
            given: dict[str, set[str]] = {}
            for family in used:
                for name, split in family.splits.items():
                    if split is not None:
                        given.setdefault(name, set()).add(split)
            if differing := [name for name, splits in given.items() if len(splits) > 1]:
                families = " and ".join(sorted(self._families))
                reason = (
                    f"the lists {families} differ: {_counted(differing)}; they get no split, "
                    f"unless you choose one by the option {self._dataset}.splits"
                )
                yield Problem(used[0].place, reason, "incomplete")

    def _used(self) -> list[_Family]:
        """The families of lists that count."""
        if self._chosen is None:
            return list(self._families.values())
        return [self._families[self._chosen]]


def _counted(names: list[str]) -> str:
    """How many names, and the first."""
    return f"{len(names)} names, first {names[0][:80]}"
