"""The table of options as documentation: `python -m twistcorn.reference` prints what docs/settings.md holds.

Law: words the table of `settings` and adds nothing to it.
"""

from __future__ import annotations

from typing import Any

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
        variables = ", ".join(f"`{name}`" for name in (f"TWISTCORN_{field.name.upper()}", *meta["env"]))
        cells = (", ".join(names), _shown(field.default), variables, meta["change"], meta["help"])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _shown(default: Any) -> str:
    if default in ("", ()):
        return ""
    return f"`{', '.join(default)}`" if isinstance(default, tuple) else f"`{default:g}`" if isinstance(
        default, float) else f"`{default}`"


if __name__ == "__main__":
    print(reference(), end="")
