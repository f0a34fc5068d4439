"""Packing: samples into shards.

Samples come in from a scan. ``shard_plans`` puts them into shards, ``sample_files`` makes the files
of each sample, ``shards`` writes them; rows with their byte ranges go out to the catalog.
"""
