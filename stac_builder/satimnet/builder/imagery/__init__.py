"""Imagery: headers, grids, masks and encodings of image files.

Bytes and arrays come in; shapes, footprints, label rasters and the bytes of new files go out.
``headers`` says what a file is, ``grids`` and ``footprints`` where it lies, ``run_lengths`` and
``masks`` draw what annotators marked, ``encoding`` writes PNGs and cloud-optimised GeoTIFFs.
``scenes`` opens whole scenes, which are no part of a catalog, and ``sentinel_safe`` those that are
Sentinel-2 products.
"""
