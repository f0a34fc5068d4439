"""Maps of whole scenes by trained networks.

A scene (``satimnet.builder.imagery.scenes``) goes in ``strips`` through a network (``labelling``)
and becomes ``cogs`` with ``legends``, ``quicklooks`` and STAC Items (``map_items``,
``modelcards``); ``mapping`` does all of it, ``map_figures`` for several networks and scenes.
"""
