"""The report of a command whose runs give readings: text, document, plot.

Law: shows what was taken; measures nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench import host
from bench.plan import Stage
from bench.plot import draw
from bench.present import envelope, heading
from bench.readings import Column, Reading, Summary, noise, panels, plain, summarise, summary_table
from bench.rounds import Taken

LEGEND = "medians over the rounds; min-max is their spread; ratio is twistcorn's median over the row's"


@dataclass(frozen=True)
class Finished:
    """Everything that was taken.

    :ivar title: of the plot.
    :ivar what: what was done, for the report's first line.
    :ivar tools: with what.
    :ivar facts: settings and the like, for the document.
    """

    stage: Stage
    taken: Taken[Reading]
    columns: Sequence[Column]
    title: str
    what: str
    tools: str
    facts: dict[str, object]

    def tables(self) -> list[list[Summary]]:
        """The lines of each workload, in order."""
        names = [server.name for server in self.stage.servers]
        return [summarise(self.taken.outcomes, names, workload.name) for workload in self.stage.workloads]

    def text(self) -> str:
        """The whole report."""
        threads = {server.name: server.threads for server in self.stage.servers}
        parts = [*heading(self.stage, self.what, self.tools), LEGEND]
        for lines in self.tables():
            parts.append(f"\n{lines[0].workload}\n{summary_table(lines, self.columns, threads)}")
        every = [line for lines in self.tables() for line in lines]
        parts.append(f"\n{noise(every, self.columns)}")
        return "\n".join([*parts, host.disturbance(self.taken.before, self.taken.after)])

    def document(self) -> dict[str, object]:
        """Everything, for ``--json``."""
        readings = [asdict(outcome) for outcome in self.taken.outcomes if isinstance(outcome, Reading)]
        summary = [line for lines in self.tables() for line in plain(lines)]
        return {
            **envelope(self.stage, self.taken),
            **self.facts,
            "readings": readings,
            "summary": summary,
        }

    def figure(self) -> str:
        """The plot."""
        every = [panel for lines in self.tables() for panel in panels(lines, self.columns)]
        legend = (
            f"less is better; medians of {self.stage.rounds} rounds, lines from the least to the greatest"
        )
        return draw(self.title, legend, every)
