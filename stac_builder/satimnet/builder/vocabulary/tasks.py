"""What training sets are for, and how others call it: ``satimnet:tasks`` and its sister words.

- ``label:tasks``: https://github.com/stac-extensions/label (the recommended values)
- ``mlm:tasks``: https://github.com/stac-extensions/mlm/blob/v1.4.0/README.md#task-enum
- ``taskType`` of TrainingDML-AI: https://docs.ogc.org/is/23-008r3/23-008r3.html, with the names
  that its working group added (https://github.com/opengeospatial/TrainingDML-AI_SWG,
  update_notes.md)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from satimnet.builder.arguments import hint

FIELD = "satimnet:tasks"
"""The field of a Collection that names its tasks."""
_PROBLEMS = "satimnet:classification_problem"


@dataclass(frozen=True, slots=True)
class Task:
    """A task of supervised learning, by its names.

    Example:
        >>> task_of("instance-segmentation").label
        'segmentation'
    """

    name: str
    """In ``satimnet:tasks``."""
    title: str
    label: str
    """In ``label:tasks``, which has four words for all."""
    mlm: str
    """In ``mlm:tasks``; the wider word where it has none for this task."""
    trainingdml: str | None = None
    """``taskType`` of TrainingDML-AI; None where the standard has no name for it."""
    problems: tuple[str, ...] = ()
    """The values of ``satimnet:classification_problem``, the paper's words, that mean it."""

    @property
    def of_whole_images(self) -> bool:
        """Whether an image as a whole has the classes."""
        return self.label == "classification"


TASKS = (
    Task(
        "object-detection",
        "Object detection",
        "detection",
        "object-detection",
        "Object Detection",
        ("object detection",),
    ),
    Task(
        "semantic-segmentation",
        "Semantic segmentation",
        "segmentation",
        "semantic-segmentation",
        "Semantic Segmentation",
        ("pixel-based classification", "pixel-based detection"),
    ),
    Task(
        "instance-segmentation",
        "Instance segmentation",
        "segmentation",
        "instance-segmentation",
        "Instance Segmentation",
    ),
    Task("panoptic-segmentation", "Panoptic segmentation", "segmentation", "panoptic-segmentation"),
    Task(
        "scene-classification",
        "Scene classification",
        "classification",
        "scene-classification",
        "Scene Classification",
        ("patch-based classification", "patch-based land cover classification"),
    ),
    Task(
        "multi-label-classification",
        "Multi-label classification",
        "classification",
        "classification",
        "Scene Classification",
    ),
    Task(
        "change-detection", "Change detection", "segmentation", "segmentation", "Change Detection"
    ),
    Task("regression", "Regression", "regression", "regression"),
)
"""All tasks, in the order of the documentation."""

_BY_NAME = {task.name: task for task in TASKS}


def task_of(name: str) -> Task:
    """The task of a name; raises `ValueError` with the nearest one if there is none.

    Example:
        >>> task_of("sematic-segmentation")
        Traceback (most recent call last):
        ...
        ValueError: no task 'sematic-segmentation'; did you mean semantic-segmentation?
    """
    if name not in _BY_NAME:
        raise ValueError(f"no task {name!r:.60}; {hint(name[:60], _BY_NAME)}")
    return _BY_NAME[name]


def tasks_in(fields: Mapping[str, Any]) -> tuple[Task, ...]:
    """The tasks that a Collection says it is for.

    Collections that say nothing of tasks, as those of older catalogs, have the tasks that
    ``satimnet:classification_problem`` means. Words that are none of ours say nothing.

    Args:
        fields: the JSON of the Collection, or the table ``[collection]`` of a record.

    Example:
        >>> old = {"satimnet:classification_problem": ["pixel-based detection"]}
        >>> [task.name for task in tasks_in(old)]
        ['semantic-segmentation']
    """
    stated = _texts(fields.get(FIELD))
    if stated:
        return tuple(_BY_NAME[name] for name in dict.fromkeys(stated) if name in _BY_NAME)
    problems = set(_texts(fields.get(_PROBLEMS)))
    return tuple(task for task in TASKS if problems.intersection(task.problems))


def _texts(values: Any) -> Sequence[str]:
    values = values if isinstance(values, list | tuple) else ()
    return [value for value in values if isinstance(value, str)]
