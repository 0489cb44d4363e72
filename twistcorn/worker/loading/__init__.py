"""Finds and imports the application, or fails with one clear error that says why.

Law: runs once, at boot. May import process alone.
"""
