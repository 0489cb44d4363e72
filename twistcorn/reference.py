"""The table of options as documentation: `python -m twistcorn.reference` prints what docs/settings.md holds.

Law: formats the table of `settings` and adds nothing to it.
"""

from __future__ import annotations

from .helptext import shown_default, variables
from .settings import OPTIONS, flag


def reference() -> str:
    """The options as the table of `docs/settings.md` (Markdown)."""
    lines = ["| option | default | environment | changes | meaning |", "| --- | --- | --- | --- | --- |"]
    for field in OPTIONS:
        meta = field.metadata
        names = [f"`--{flag(field)} {meta['metavar']}`".replace("|", "\\|")]
        names += [f"`--{meta['alias']}`"] if meta["alias"] else []
        names += [f"`-{meta['short']}`"] if meta["short"] else []
        names += ["`run` only"] if meta["run_only"] else []
        named = ", ".join(f"`{name}`" for name in variables(field))
        meaning = f"{meta['help']}. {meta['more']}".removesuffix(". ")
        default = shown_default(field)
        cells = (", ".join(names), f"`{default}`" if default else "", named, meta["change"], meaning)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
