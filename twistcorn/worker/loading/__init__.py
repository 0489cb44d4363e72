"""The application, found and imported, or one clear error that says why it cannot be.

Law: runs once, at boot. May import process alone.
"""
