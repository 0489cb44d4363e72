"""The admin endpoint: health, metrics, the page and its actions, over HTTP.

Law: the top of the master. It may import every other room here, and none imports it; what an operator can do is decided
in `control.operations`, not here. Loaded only where `--admin` is given, because Twisted's web server costs megabytes.
"""
