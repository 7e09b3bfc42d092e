"""DualTrack: move an object store's metadata out of millions of small files, live, in stages, with proof."""

__version__ = "0.1.0"
