"""The plugin that makes `twist twistcorn` and `twistd twistcorn` known to Twisted.

Law: a declaration and nothing else. Every run of `twist`, of whatever plugin, imports this file, so it
imports neither twistcorn nor a reactor; `twistcorn.tap` is named, and loaded when it is asked for.
"""

from twisted.application.service import ServiceMaker

twistcorn = ServiceMaker(
    "twistcorn",
    "twistcorn.tap",
    "A WSGI container with a pool of worker processes.",
    "twistcorn",
)
