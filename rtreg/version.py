"""The version, in one place; light enough to import from anywhere."""

__version__ = "0.1.0"
