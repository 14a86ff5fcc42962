"""Traffic lights: each arm of a junction has its green in turn, so that no two ways cross.

Not here: how they look (`scene.py`), who stops (`traffic.py`, `hazards.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from vla_datasets.worlds.driving.lanes import Lane, LaneMap

__all__ = ["GREEN", "RED", "STOP_LINE", "YELLOW", "Signal", "TrafficLights"]

GREEN, YELLOW, RED = "green", "yellow", "red"
STOP_LINE = 4.0  # metres before a lane's end
_SECONDS = {GREEN: 6.0, YELLOW: 2.0, RED: 1.0}  # of an arm's turn; then the next arm's


@dataclass(frozen=True)
class Signal:
    """What an arm of a junction sees."""

    junction: int
    arm: int  # counted within the junction
    x: float  # where the outer lane ends
    y: float
    yaw: float


class TrafficLights:
    """The lights of a town by its clock; `offset` seconds is the clock at second 0."""

    def __init__(self, town: LaneMap, offset: float = 0.0) -> None:
        self.offset = offset
        self.signals: list[Signal] = []
        self._of_lane: dict[int, Signal] = {}
        self._arms: dict[int, int] = {}
        headings: dict[tuple[int, int], Signal] = {}
        for lane in town.lanes:
            junctions = {town.lanes[n].junction for n in lane.successors}
            if lane.junction >= 0 or len(junctions) != 1 or (junction := junctions.pop()) < 0:
                continue
            x, y, yaw = lane.at(lane.length)
            key = (junction, round(yaw / 1.5707963) % 4)
            if key not in headings or lane.right < 0:
                arm = headings[key].arm if key in headings else self._arms.get(junction, 0)
                self._arms[junction] = max(self._arms.get(junction, 0), arm + 1)
                headings[key] = Signal(junction, arm, x, y, yaw)
            self._of_lane[lane.number] = headings[key]
        self._of_lane = {n: headings[s.junction, round(s.yaw / 1.5707963) % 4] for n, s in self._of_lane.items()}
        self.signals = list(headings.values())

    def color(self, signal: Signal, seconds: float) -> str:
        """What a signal shows."""
        turn = sum(_SECONDS.values())
        arms = self._arms[signal.junction]
        within = (seconds + self.offset + signal.junction * 7.0) % (turn * arms) - signal.arm * turn
        if not 0 <= within < turn:
            return RED
        return GREEN if within < _SECONDS[GREEN] else YELLOW if within < turn - _SECONDS[RED] else RED

    def signal_of(self, lane: Lane) -> Signal | None:
        """What who drives on this lane sees at its end, if there is anything."""
        return self._of_lane.get(lane.number)

    def must_stop(self, lane: Lane, seconds: float) -> bool:
        """Whether who drives on this lane must stop before its end."""
        signal = self.signal_of(lane)
        return signal is not None and self.color(signal, seconds) != GREEN
