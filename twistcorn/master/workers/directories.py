"""The directory that the server was started in, by the name that the operator has for it.

Law: asked once, at the start: afterwards the directory may be gone, forbidden, or no longer where its name leads.
"""

from __future__ import annotations

import os


class StartDirectory:
    """What relative paths of the settings begin with.

    :ivar name: an absolute path; empty when the directory was gone already.

    The name is PWD's where that leads here: a shell keeps symbolic links in it, the kernel knows only what is behind
    them. So a deployment that has `current` lead to another release takes effect at the next reload.
    """

    def __init__(self) -> None:
        self.name = os.environ.get("PWD", "")
        try:
            same = os.path.isabs(self.name) and os.path.samefile(self.name, ".")
        except OSError:
            same = False
        if not same:
            try:
                self.name = os.getcwd()
            except OSError:
                self.name = ""

    def find(self, path: str) -> str:
        """A path as seen from here, with its symbolic links; as it is when here is nowhere."""
        if not self.name and not os.path.isabs(path):
            return path or os.curdir
        return os.path.normpath(os.path.join(self.name, path))
