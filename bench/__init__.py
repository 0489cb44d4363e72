"""Benchmarks of twistcorn against its peers; run from the checkout as ``python -m bench``.

Law: nothing here is packaged, nothing in ``twistcorn`` imports it, and the command itself needs
the standard library only. The peers live in a virtual environment of their own.
"""
