"""twistcorn: a WSGI container on Twisted with a pool of worker processes."""

__version__ = "0.1.0"

__all__ = ["__version__"]
