"""Networks: the three CNNs of the paper, trained and judged.

Batches come in; ``training`` writes checkpoints, ``evaluation`` and ``crossvalidation`` write
reports, and ``plots`` draws them.
"""
