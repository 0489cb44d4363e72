"""Draws docs/redo_log.svg: a request step by step, and what the master does when worker A dies at each step.

    python docs/redo_log.py > docs/redo_log.svg

Law: standard library only. `DEATHS` is data: a test compares it with what `twistcorn` decides, and the file with what
this prints.
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple


class Message(NamedTuple):
    """An arrow from one lifeline to another; from a lifeline to itself, a step that happens there.

    :ivar word: the text above it.
    :ivar slot: what worker or master wrote to the slot before it; empty: nothing.
    """

    source: str
    target: str
    word: str
    slot: str = ""


class Death(NamedTuple):
    """What the master does when worker A dies between two messages.

    :ivar after: index of the message after which it can happen; `until`: of the last one before which it can.
    :ivar state: the slot's state then; `sent`: how much of the answer the kernel has: nothing, part or all.
    :ivar safe: the verdict on a GET; `other`: on a POST (names of the verdicts in the code).
    :ivar text: the verdicts as text.
    """

    after: int
    until: int
    state: str
    sent: str
    safe: str
    other: str
    text: tuple[str, ...]


LIFELINES = {"client": 50, "kernel": 190, "master": 340, "worker A": 500, "worker B": 610}

MESSAGES = (
    Message("client", "kernel", "connect"),
    Message("kernel", "master", "accept", "slot taken"),
    Message("master", "worker A", "lend: a copy of the socket", "IDLE, number of the lend"),
    Message("worker A", "master", "TAKEN"),
    Message("client", "kernel", "GET /page"),
    Message("kernel", "worker A", "peek: the bytes stay in the kernel"),
    Message("worker A", "worker A", "calls the app", "IN_APP, method and path"),
    Message("worker A", "worker A", "has the answer", "offsets, RESPONDING"),
    Message("worker A", "kernel", "sends the first bytes, or all"),
    Message("kernel", "worker A", "takes the request's bytes"),
    Message("worker A", "kernel", "sends the last bytes"),
    Message("kernel", "client", "200"),
    Message("worker A", "worker A", "waits for the next", "IDLE"),
)

DEATHS = (
    Death(2, 6, "IDLE", "nothing", "LEND", "LEND", ("lends the connection to worker B,", "whatever the method")),
    Death(6, 7, "IN_APP", "nothing", "REPLAY", "ANSWER_502",
          ("GET: lends it to B, which runs it again", "POST: answers 502")),
    Death(7, 8, "RESPONDING", "nothing", "REPLAY", "ANSWER_502",
          ("no byte of the answer has been sent:", "does the same")),
    Death(8, 10, "RESPONDING", "part", "CUT", "CUT",
          ("part of the answer has been sent:", "ends the connection, so that the", "client sees the cut")),
    Death(10, 12, "RESPONDING", "all", "DISCARD_AND_LEND", "DISCARD_AND_LEND",
          ("all of the answer has been sent:", "drops the remainder of the request", "and lends the connection to B")),
    Death(12, 13, "IDLE", "nothing", "LEND", "LEND", ("lends it to worker B",)),
)  # fmt: skip

#: The recovery after a death in the app.
RECOVERY = (
    Message("worker A", "worker A", "dies"),
    Message("worker A", "master", "exit status, last reports"),
    Message("kernel", "master", "bytes taken and given"),
    Message("master", "worker B", "lend: a copy of the socket", "IDLE, number of the lend, attempt 2"),
    Message("kernel", "worker B", "peek: the request is still there"),
    Message("worker B", "kernel", "sends the answer", "IN_APP, offsets, RESPONDING"),
    Message("kernel", "client", "200"),
)

REMARKS = (
    "Blue: written to the slot before the step.",
    "",
    "The kernel's byte counts decide what the slot",
    "leaves open.",
    "",
    "A request runs again once, and never if it is",
    "the one that killed its worker.",
    "",
    "The client keeps its connection.",
)

#: Pixels.
WIDTH, TOP, STEP, NOTES = 984, 64, 37, 694

STYLE = """\
svg { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
.ground { fill: #ffffff; } text { fill: #24292f; } .head { font-weight: 600; }
.line { stroke: #afb8c1; } .arrow { stroke: #24292f; fill: none; } .tip { fill: #24292f; }
.slot { fill: #0550ae; font-size: 11px; } .death { stroke: #cf222e; fill: none; } .note { fill: #a40e26; }
.quiet { fill: #57606a; } .halo { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117; } text { fill: #e6edf3; }
  .line { stroke: #545d68; } .arrow { stroke: #e6edf3; } .tip { fill: #e6edf3; }
  .slot { fill: #79c0ff; } .death { stroke: #ff7b72; } .note { fill: #ffa198; }
  .quiet { fill: #9198a1; } .halo { stroke: #0d1117; }
}"""


def text(x: float, y: float, word: str, kind: str = "", anchor: str = "start") -> str:
    """A line of text."""
    names = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{names}>{escape(word)}</text>'


def arrow(message: Message, y: float) -> list[str]:
    """A message at a height, with its text above it and the slot's new content below."""
    start, end = LIFELINES[message.source], LIFELINES[message.target]
    if start == end:
        drawn = [
            f'<path class="arrow" d="M{start} {y - 9:g}h14v9h-9"/>',
            f'<path class="tip" d="M{start + 1} {y:g}l7 -3.5v7z"/>',
            text(start + 20, y - 2, message.word, "halo"),
        ]
        return drawn + ([text(start - 8, y - 2, message.slot, "slot halo", "end")] if message.slot else [])
    way = 1 if end > start else -1
    drawn = [
        f'<path class="arrow" d="M{start} {y:g}H{end - 6 * way}"/>',
        f'<path class="tip" d="M{end} {y:g}l{-8 * way} -3.5v7z"/>',
        text((start + end) / 2, y - 6, message.word, "halo", "middle"),
    ]
    return drawn + ([text((start + end) / 2, y + 13, message.slot, "slot halo", "middle")] if message.slot else [])


def lifelines(top: float, bottom: float) -> list[str]:
    """The lifelines, from one height to another."""
    drawn = []
    for name, x in LIFELINES.items():
        drawn.append(text(x, top, name, "head", "middle"))
        drawn.append(f'<path class="line" d="M{x} {top + 8:g}V{bottom:g}"/>')
    return drawn


def death(entry: Death, height: float) -> list[str]:
    """A bracket over the time in which worker A may die, and what the master does."""
    begin, end = height + STEP * entry.after + 4, height + STEP * min(entry.until, len(MESSAGES) - 0.4) - 4
    middle = (begin + end) / 2
    drawn = [f'<path class="death" d="M{NOTES - 14} {begin:g}h6V{end:g}h-6M{NOTES - 8} {middle:g}h6"/>']
    first = middle + 4 - 7.5 * (len(entry.text) - 1)
    return drawn + [text(NOTES + 4, first + 15 * number, line, "note") for number, line in enumerate(entry.text)]


def draw() -> str:
    """The whole picture."""
    first = TOP + 40
    second = first + STEP * len(MESSAGES) + 44
    height = second + 30 + STEP * len(RECOVERY)
    drawn = [
        text(LIFELINES["client"] - 34, 24, "One request, and the redo log in the connection's slot", "head"),
        text(NOTES - 14, 24, "When worker A dies here, the master", "head"),
        text(LIFELINES["client"] - 34, second - 26, "Worker A dies while a GET is in the app", "head"),
        *lifelines(TOP, second - 50),
        *lifelines(second, height - 12),
    ]
    for number, message in enumerate(MESSAGES):
        drawn += arrow(message, first + STEP * number)
    for entry in DEATHS:
        drawn += death(entry, first)
    for number, message in enumerate(RECOVERY):
        drawn += arrow(message, second + 40 + STEP * number)
    drawn += [text(NOTES - 14, second + 18 * number, line, "quiet") for number, line in enumerate(REMARKS)]
    title = "A request step by step, and what the master does when its worker dies"
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{title}</title>", f"<style>{STYLE}</style>",
        '<rect class="ground" width="100%" height="100%"/>', *drawn, "</svg>",
    ])  # fmt: skip


if __name__ == "__main__":
    print(draw())
