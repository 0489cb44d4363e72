"""Worker processes: spawn, watch, reload, scale, replace, and tell what they died of.

Law: may import sockets. What follows from an event is decided in `policy`; this room carries it out.
"""
