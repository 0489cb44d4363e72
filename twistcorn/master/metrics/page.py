"""The metrics of the server and of its application, as a scrape gets them.

Law: gathers and formats; what is counted stands in `measures`, what the application counts in `exports`.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from ...policy.exposition import negotiate
from ...policy.merging import Told
from ..workers.app_metrics import AppMetrics
from ..workers.totals import Tally
from .measures import Measures


class Metrics:
    """Metrics of a running master.

    :ivar tally: what the workers have counted.
    """

    def __init__(self, measures: Measures, exports: AppMetrics, tally: Tally) -> None:
        self._measures = measures
        self._exports = exports
        self.tally = tally

    def scrape(self, accept: str) -> Deferred[tuple[str, bytes]]:
        """All metrics as text; fires within a second, whatever the workers do.

        :param accept: what the client accepts (RFC 9110 section 12.5.1): OpenMetrics for who asks for it, else
            Prometheus text format 0.0.4.
        :return: the content type and the body.
        """
        return self._exports.gather().addCallback(lambda exported: self._format(accept, exported))

    def _format(self, accept: str, exported: list[Told]) -> tuple[str, bytes]:
        content_type, write = negotiate(accept)
        return content_type, write([*self._measures.families(), *exported]).encode()
