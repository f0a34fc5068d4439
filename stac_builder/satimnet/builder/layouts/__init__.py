"""Layouts: training sets of one's own, in an arrangement of files that everybody has.

`layout_datasets` makes a `satimnet.builder.datasets.Dataset` of what it finds: the class table and
the bands come from the files. `arranged_files` lists images and says of which split they are; each
other module reads one kind of arrangement: `read_folders` (a folder for each class, or images
beside masks), `read_coco`, `read_yolo` (with `yaml_splits`), `read_voc` and `read_table`.
`made_up_sets` writes one of each. Label files are not trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from satimnet.builder.layouts.layout_datasets import LAYOUTS, layout_dataset, scan_layout
    from satimnet.builder.layouts.made_up_sets import write_set

__all__ = ["LAYOUTS", "layout_dataset", "scan_layout", "write_set"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from satimnet.builder.layouts import layout_datasets, made_up_sets

    return getattr(made_up_sets if name == "write_set" else layout_datasets, name)
