"""Maps of whole scenes by trained networks.

A scene (`safes`, `scenes`) goes in `strips` through a network (`labelling`) and becomes `cogs`
with `legends`, `quicklooks` and STAC Items (`items`, `modelcards`); `mapping` is all of it.
"""
