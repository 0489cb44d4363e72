"""Request counts by method and status: the rows and columns of the scoreboard's tables.

Law: the tables are small: rare methods share the row `other`, rare codes the column of their class.
"""

from __future__ import annotations

#: One row each; the last is for all other methods.
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other")
#: Codes with their own column: common in applications and dashboards.
CODES = (
    200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429,
    500, 502, 503, 504,
)  # fmt: skip
#: The classes of status; `none`: no response, because the client was gone.
CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
#: Columns: requests without a response, the other codes of each class, then each of CODES.
WIDTH = len(CLASSES) + len(CODES)
#: Words of a table.
SIZE = len(METHODS) * WIDTH

#: The first word of a method's row.
ROWS = {method: number * WIDTH for number, method in enumerate(METHODS)}
OTHER_ROW = ROWS["other"]
#: The column of every valid code (RFC 9110 section 15).
COLUMNS = {code: CODES.index(code) + len(CLASSES) if code in CODES else code // 100 for code in range(100, 600)}


def classes(row: list[int]) -> list[int]:
    """The sums of a row by class of status: see CLASSES."""
    sums = row[: len(CLASSES)]
    for code, count in zip(CODES, row[len(CLASSES) :], strict=True):
        sums[code // 100] += count
    return sums


def name(column: int) -> str:
    """The code that a column counts, or the class of other codes."""
    return CLASSES[column] if column < len(CLASSES) else str(CODES[column - len(CLASSES)])
