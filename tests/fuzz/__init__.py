"""Malformed sources and catalogs, made from a seed: all ends in a report or in one line.

``python -m tests.fuzz --cases 10000`` from the repository's root. A case is a miniature source of
one dataset, cut to a few samples (`sources`), with one to three things spoilt: its texts
(`texts`), its images (`images`), its folders or the archive around it (`archives`). `cases` draws
them, `judging` builds and says whether that went as it must, `workers` watches over time and memory
in processes of their own.

Every other case is a small catalog with its JSON, its index or its files spoilt (`catalogs`), on
which all that reads catalogs is tried (`using`).

``python -m tests.fuzz.questions`` does the same to ``serve``, with malformed requests.
"""
