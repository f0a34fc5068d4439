"""The vocabulary: the concepts that the classes of all datasets hang on, and words compared.

Class tables come in; concepts go out to Items, to ``concepts.json`` and to searches.
"""
