"""Imagery: headers, grids, masks and encodings of image files.

Bytes and arrays come in; shapes, footprints, label rasters and the bytes of new files go out.
"""
