"""The end in the browser behind the interface of ``wire.resume.SessionEnd``, so that the same worlds can drive it."""

import base64
from typing import Any

from playwright.sync_api import Page

from staffetta.wire import frames, messages, outcomes, resume

MOVE = messages.Move(1, "statement")


def to_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


class BrowserEnd:
    """Calls go to the page one batch at a time: what was called since, and then what the end wants done."""

    def __init__(self, page: Page, limits: resume.Limits) -> None:
        self._page = page
        self._calls: list[list[Any]] = []
        self._outputs: list[outcomes.Output] = []
        self._rooms: list[int] = []
        self.taken: dict[int, int] = {}
        self.held = resume.Held(0, 0)
        self.over: str | None = None
        self._current = 0
        self._synchronised = False  # whether the peer has told its positions on the current connection
        names = ("payload", "window", "hold", "reserve")
        self._now("begin", {name: getattr(limits, name) for name in names})

    def dial(self) -> int:
        return int(self._now("dial"))

    def lost(self, connection: int) -> None:
        if connection == self._current:
            self._current, self._synchronised = 0, False
        self._calls.append(["lost", connection])

    def room(self, channel: int) -> int:
        return self._rooms[channel]

    def send(self, channel: int, payload: bytes, at: int) -> None:
        self._calls.append(["send", channel, to_text(payload), at])

    def consumed(self, _: outcomes.Arrived) -> None:
        self._calls.append(["consumed"])

    def tick(self, now: float) -> list[outcomes.Event]:
        return self._events(self._now("tick", now))

    def receive(self, connection: int, message: bytes, now: float) -> list[outcomes.Event]:
        frame = frames.decode(message)
        if isinstance(frame, frames.Control):
            self._heard(connection, frame.kind)
        return self._events(self._now("receive", connection, to_text(message), now))

    def _heard(self, connection: int, kind: str) -> None:
        if kind == "attached" and connection >= self._current:
            self._current, self._synchronised = connection, False
        elif connection == self._current and kind in ("peer", "sync"):
            self._synchronised = kind == "sync"

    def reload(self) -> None:
        """The page is loaded again and goes on."""
        self._now("reload")

    def take(self) -> list[outcomes.Output]:
        if self._calls:
            self._carry_out()
        outputs, self._outputs = self._outputs, []
        return outputs

    def _now(self, *call: Any) -> Any:
        self._calls.append(list(call))
        return self._carry_out()[-1]

    def _carry_out(self) -> list[Any]:
        calls, self._calls = self._calls, []
        answer = self._page.evaluate("calls => carryOut(calls)", calls)
        for output in answer["outputs"]:
            if output["do"] == "send":
                message = base64.b64decode(output["message"])
                assert message[0] != frames.DATA or self._synchronised, "DATA before the peer's sync (rule 2)"
                self._outputs.append(outcomes.Send(output["connection"], message))
            else:
                self._outputs.append(outcomes.Close(output["connection"], output["code"], output["reason"]))
        self._rooms = answer["rooms"]
        self.held = resume.Held(0, answer["held"])
        self.taken = {int(channel): taken for channel, taken in answer["taken"].items()}
        results: list[Any] = answer["results"]
        return results

    def _events(self, told: list[dict[str, Any]]) -> list[outcomes.Event]:
        events: list[outcomes.Event] = []
        for one in told:
            match one["event"]:
                case "arrived":
                    payload = base64.b64decode(one["payload"])
                    events.append(outcomes.Arrived(one["channel"], one["sequence"], one["at"], payload))
                case "move":
                    events.append(outcomes.MoveAsked(MOVE))
                case "over":
                    self.over = one["reason"]
                    events.append(outcomes.SessionOver(one["reason"]))
        return events
