"""Fusion: samples of several collections become one derived collection.

A recipe comes in; ``selection`` draws samples, ``samples_of_recipe`` and ``patches`` make their
files, and the builder packs them.
"""
