"""Listeners and connections: bind, accept, keep, lend, take back, recover.

Law: the bottom of the master. It imports no other room here, and knows workers only as places that connections are lent
to.
"""
