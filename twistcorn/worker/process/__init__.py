"""The process that server and application share: descriptors, forks, stacks, exit.

Law: imports no other room here. It assumes that the application may have changed anything.
"""
