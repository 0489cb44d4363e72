"""What to say about an option or an environment variable that twistcorn does not know.

Law: says, and changes nothing: an unknown option is an error of the command line, an unknown variable a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .foreign import FOREIGN, Foreign
from .settings import OPTIONS, flag
from .suggestions import did_you_mean, nearest

#: What our variables begin with.
PREFIX = "TWISTCORN_"

#: Second spellings of options, which are no names of settings; and the settings that they mean.
_ALIASES = {f"--{field.metadata['alias']}": field.name for field in OPTIONS if field.metadata["alias"]}


def unknown_option(word: str, known: Iterable[str], foreign: Mapping[str, Foreign] = FOREIGN) -> str:
    """Why an option is refused, and what to write instead.

    :param word: as it was typed: `--theads`, `--timeout=30`, `-k`, `-t30`.
    :param known: the options that there are, dashes and all.
    :param foreign: those of other servers, where they could be meant.
    """
    name = word.partition("=")[0]
    if not name.startswith("--"):
        name = name[:2]
    if name in foreign:
        return f"unknown option {name}{_answer(foreign[name])}"
    other = nearest(name, [*known, *foreign]) if name.startswith("--") else ""
    if other in foreign:
        return f"unknown option {name}; did you mean {other}{_answer(foreign[other])}"
    return f"unknown option {name}{f'; did you mean {other}?' if other else ''}"


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """A line for each variable that is set, looks like ours, and counts for nothing."""
    known = {f"{PREFIX}{field.name.upper()}" for field in OPTIONS}
    found = sorted(name for name, text in environ.items() if name.startswith(PREFIX) and name not in known and text)
    return [f"unknown environment variable {name} ignored{_instead(name, known)}" for name in found]


def warn_of_variables(environ: Mapping[str, str]) -> None:
    """Log those lines."""
    # Here, because a usage error needs no Twisted.
    from .logs.logger import Logger

    log = Logger()
    for line in unknown_variables(environ):
        log.warn("{line}", line=line)


def unknown_setting(name: str) -> str:
    """Why a name in a settings file is refused, and what to write instead."""
    if name == "config":
        return "a settings file cannot name another one"
    option = "--" + name.replace("_", "-")
    if option in _ALIASES:
        return f"unknown setting {name!r}; did you mean {_ALIASES[option]}?"
    if option in FOREIGN:
        return f"unknown setting {name!r}{_answer(FOREIGN[option])}"
    return f"unknown setting {name!r}{did_you_mean(name, map(flag, OPTIONS))}"


def _instead(name: str, known: Iterable[str]) -> str:
    option = "--" + name.removeprefix(PREFIX).lower().replace("_", "-")
    if option == "--log-file":
        return "; use the option --log-file"
    if option in _ALIASES:
        return f"; did you mean {PREFIX}{_ALIASES[option].upper()}?"
    if option in FOREIGN:
        return _answer(FOREIGN[option])
    return did_you_mean(name, known)


def _answer(foreign: Foreign) -> str:
    return f" ({foreign.servers}): {foreign.answer}"
