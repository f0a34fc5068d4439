"""A catalog by HTTP: its files, a STAC API on the same engine as local search, STAC Browser.

Loaded by ``stac satimnet serve`` alone; needs the extra ``serve``.
"""
