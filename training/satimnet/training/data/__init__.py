"""Data: from the samples that a search finds to batches and arrays.

Rows of Items come in as a ``sample_table``. ``image_assets`` says which images have the bands that
are wanted, ``layouts`` where their pixels lie, ``pixels`` and ``decoding`` read them, and
``reading_ahead`` has whole batches read by threads or a cluster. ``batches``, ``torch_dataset`` and
``lazy_arrays`` hand them out, in the order that ``order`` draws; ``batch_options`` names the
options. ``training_samples`` is the face over all of this.
"""
