"""The process that the application shares with the server: descriptors, forks, stacks, and how the process ends.

Law: imports no other room here. It assumes that the application may have changed anything.
"""
