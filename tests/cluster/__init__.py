"""A cluster on this machine whose workers share nothing but an object store.

``python -m tests.cluster`` builds a catalog from one bucket into another on two dask workers. Each
worker sees the whole file system as read-only, but for a scratch folder of its own; with
``--namespaces`` each also has a network of its own. One worker is killed in the middle. The catalog
must be the same, byte for byte, as one that was built on the disk. Needs root and Linux.
"""
