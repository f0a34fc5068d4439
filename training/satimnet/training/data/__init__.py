"""Data: from the samples that a search found to batches.

Rows of Items come in; ``training_samples`` is the face, ``layouts`` says where pixels lie,
``pixels`` and ``decoding`` read them, ``batches`` hands them out, in the order that ``order``
gives.
"""
