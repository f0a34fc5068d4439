"""The explorer: a static page to look at a catalog, and the small files that it reads."""
