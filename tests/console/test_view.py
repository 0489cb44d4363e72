"""The claims of twistcorn.console.view: what a key changes, and that nothing happens to the server without a y."""

from __future__ import annotations

import pytest

from tests.console.seen import snapshot, worker
from twistcorn.console.view import ORDERS, Action, View, done, keys, press, rank

SEEN = snapshot(worker(1, requests=100, rss=5, busy=2), worker(2, requests=300, rss=9), worker(3, rss=7, busy=4))


def typed(text: str, view: View | None = None) -> tuple[View, list[Action]]:
    """The view after some keys, and what was asked of the server."""
    view = view or View()
    actions = []
    for key in keys(text.encode()):
        view, action = press(view, key, SEEN, None)
        actions += [action] if action else []
    return view, actions


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"q", ["q"]),
        (b"+y", ["+", "y"]),
        (b"\x1b[A\x1b[Bp", ["up", "down", "p"]),
        (b"\x1bOA\x1bOB", ["up", "down"]),
        (b"\x03", ["q"]),
        (b"\x1b[5~y", []),
        (b"\x1b", []),
        (b"\xff", ["ÿ"]),
        (b"", []),
    ],
)
def test_keys(data: bytes, found: list[str]) -> None:
    """Arrows are keys; what is behind an unknown sequence is a part of it, and never an answer to a question."""
    assert keys(data) == found


class TestAsking:
    @pytest.mark.parametrize(
        ("key", "question", "action"),
        [
            ("+", "scale from 3 to 4", Action("scale", {"workers": 4})),
            ("-", "scale from 3 to 2", Action("scale", {"workers": 2})),
            ("R", "reload settings and app", Action("reload", {})),
        ],
    )
    def test_it_asks_first(self, key: str, question: str, action: Action) -> None:
        """`y` does it, everything else does not, and then it is no question any more."""
        view, actions = typed(key)
        assert view.question is not None
        assert (view.question.text, actions) == (question, [])
        assert typed("y", view)[1] == [action]
        for other in ("n", "Y", key, "q", "\r"):
            after, actions = typed(other, view)
            assert (after.question, after.over, after.message, actions) == (None, False, "cancelled", [])

    def test_a_worker(self) -> None:
        """The selected one is replaced; without one there is no question."""
        assert typed("cy") == (View(), [])
        view, actions = typed("\x1b[B\x1b[Bcy")
        assert (view.selected, actions) == (2, [Action("recycle", {"worker": 2})])


class TestLooking:
    def test_leaving(self) -> None:
        """q, and Ctrl-C where it comes as a key."""
        assert typed("q")[0].over
        assert typed("\x03")[0].over

    def test_pausing(self) -> None:
        """p, and p again."""
        assert typed("p")[0].paused
        assert not typed("pp")[0].paused

    def test_orders(self) -> None:
        """r goes through them, and begins again."""
        assert [typed("r" * n)[0].order for n in range(len(ORDERS) + 1)] == [*ORDERS, ORDERS[0]]

    @pytest.mark.parametrize(
        ("arrows", "selected"),
        [("\x1b[B", 1), ("\x1b[A", 3), ("\x1b[B\x1b[B", 2), ("\x1b[B" * 9, 3), ("\x1b[B\x1b[A\x1b[A", 1)],
    )
    def test_selecting(self, arrows: str, selected: int) -> None:
        """From the first, or the last, and not beyond."""
        assert typed(arrows)[0].selected == selected

    def test_selecting_in_another_order(self) -> None:
        """As it is shown."""
        assert typed("rr\x1b[B\x1b[B")[0].selected == 1

    def test_an_unknown_key(self) -> None:
        """It changes nothing."""
        assert typed("xyzY") == (View(), [])

    def test_nobody_is_there(self) -> None:
        """There is nobody to select."""
        assert press(View(), "down", {**SEEN, "workers": []}, None)[0].selected is None


class TestRank:
    @pytest.mark.parametrize(
        ("order", "idents"),
        [("worker", [1, 2, 3]), ("rate", [2, 1, 3]), ("busy", [3, 1, 2]), ("rss", [2, 3, 1]), ("age", [3, 2, 1])],
    )
    def test_orders(self, order: str, idents: list[int]) -> None:
        """By number, or the largest first."""
        before = snapshot(worker(1, requests=0), worker(2, requests=0), worker(3), uptime=198.0)
        assert [each.worker["worker"] for each in rank(SEEN, before, order)] == idents

    def test_rates(self) -> None:
        """Requests in a second; a worker that is new has answered all of them since."""
        before = snapshot(worker(1, requests=50), worker(3, requests=500), uptime=198.0)
        assert [each.rate for each in rank(SEEN, before, "worker")] == [25.0, 150.0, 0.0]

    @pytest.mark.parametrize("before", [None, SEEN, snapshot(uptime=300.0)])
    def test_no_time_has_passed(self, before: dict[str, object] | None) -> None:
        """There is no rate."""
        assert {each.rate for each in rank(SEEN, before, "worker")} == {0.0}


@pytest.mark.parametrize(
    ("action", "result", "message"),
    [
        (Action("scale", {"workers": 20}), {"workers": 8}, "worker target set to 8"),
        (Action("recycle", {"worker": 2}), {"worker": 2}, "replacing worker 2"),
        (Action("reload", {}), {"generation": 2, "took": 1.2, "needs_restart": []}, "reloaded in 1.2 s"),
        (
            Action("reload", {}), {"generation": 2, "took": 1.2, "needs_restart": ["listen"]},
            "reloaded in 1.2 s; not applied, restart the server to change: --listen",
        ),
    ],
)  # fmt: skip
def test_message_after_an_action(action: Action, result: dict[str, object], message: str) -> None:
    """What the server did, which may be less than what was asked."""
    assert done(action, result) == message
