"""Schemes without barriers: coarse and fine solves side by side, in this step and in the one after it.

Every site has an affine record (``_records``). In each open step

    coarse   runs with the records at the drives of its iterate u, as soon as half of the records that are on their way have
             come, or nothing runs;
    fine     a batch runs again when a coarse solve has seen its last record and the record's error at the new drive is
             above its share of the tolerance; the longest first, of a few the one whose worker is free. Where there are fewer
             places than batches, none runs again for less than what the others, not told yet, will still move its drive by;
    end      when all records are good enough, the batches whose memory is not are finished: solved to convergence;
    ahead    where places are idle, batches whose records are good enough start the next step, at most ``BUDGET`` times. Before
             anybody is asked its records are foretold (``_foretold``), and the coarse model foresees the drives with them. What
             they remember is that of a trial: a record that did not start from the final one counts for its answer, with what
             the trial has moved since as an error, and is made again before its step ends. Where no model remembers, records
             are good for all steps. From rest they are taken as powers of the drive.

A step is done when u has a residual below the tolerance with records that a coarse solve has seen, all of them made from the
final history of the step before, and their summed error is below its share: the nested answer to the tolerance. Coarse updates
that do not get smaller ``PATIENCE`` times in a row, or too many of them, fall back to ``condensed`` from the first iterate.

The iterates depend on the order of arrival and on nothing else: the same order of tells and the same ``idle`` give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from hpcms.contracts import Advance, Array, Arrays, CoarseRequest, FineRequest, Look, Request, Talk
from hpcms.coupling._foretold import Told
from hpcms.coupling._level import PATIENCE, Level
from hpcms.coupling._places import Places
from hpcms.coupling._records import Records
from hpcms.coupling._rows import Rows
from hpcms.coupling.condensed import Condensed
from hpcms.coupling.nested import record_of

BUDGET = 3  # records of a batch in a step that is not open yet
FORESEEN, TRIES = 1e-4, 5  # coarse residual small enough to ask for records; coarse solves for it
MOST = 3  # coarse solves of a step over ``max_sweeps`` until the scheme falls back


@dataclass
class Async:
    """See ``hpcms.contracts.Scheme``. ``depth``: steps ahead."""

    look: Look
    talk: Talk
    levels: list[Level] = field(default_factory=list)
    serial: int = 0
    depth: int = 0
    failed: str = ""
    finished: bool = False
    sweeps: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, Arrays] = field(default_factory=dict)
    drives: dict[str, Arrays] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    ends: dict[str, list[Told]] = field(default_factory=dict)  # with memory: the ends of the three steps before
    ample: bool = True  # whether all batches could run at once
    _flight: tuple[tuple[Any, ...], int, dict[str, Array]] | None = None  # the coarse solve that runs
    _back: Condensed | None = None

    needs: ClassVar[tuple[str, ...]] = ("tangent", "iterate")
    ahead: ClassVar[int] = 0

    @classmethod
    def begin(cls, look: Look, talk: Talk, before: Any = None) -> Async:
        """Takes over what ``before`` has done ahead, and foretells where that is nothing."""
        scheme = cls(look, talk, depth=cls.ahead)
        scheme.meta = {"ahead": 0, "ahead_kept": 0, "coarse_ahead": 0, "fallback": ""}
        if before is not None and before._back is None and before.levels:
            scheme._take_over(before)
        if not scheme.levels:
            scheme.levels = [scheme._level(look, None, {})]
            rest = look.sites(dict(look.previous)) if look.previous else {}
            scheme.ends = {m: [Told(look.dt, drive, {})] for m, drive in rest.items() if m in talk.memory}
            scheme.levels[0].begin_at(rest)
        first = scheme.levels[0]
        first.judge(talk.tolerance)
        scheme._line_up(first)
        if first.turns:
            scheme.depth = 0
        return scheme

    def _take_over(self, before: Async) -> None:
        old, ended = before.levels[0], before.levels[1:]
        self.serial, self.ends, self.ample = before.serial, before._ends(), before.ample
        if ended and (ended[0].look.index, ended[0].look.dt) == (self.look.index, self.look.dt):
            level = ended[0]
            level.look, level.origin = self.look, {m: r.version.copy() for m, r in old.records.items()}
            level.inherit(old, self.ends)
            self.meta["ahead"] = level.told
            self.meta["ahead_kept"] = int(sum(r.kept.sum() for r in level.records.values()))
            for tries in level.tries.values():
                tries[:] = 0
            level.change, level.smallest, level.waited, level.updates = np.inf, np.inf, 0, 0
            level.residual, level.tried = np.inf, 0
            level.round = level.told
            self.levels = [level]
            if before._flight is not None and before._flight[0][0] == self.look.index and self.talk.memory:
                self._flight = before._flight
        else:
            self.levels = [self._level(self.look, old, self.ends)]

    def _ends(self) -> dict[str, list[Told]]:
        """Those of the steps before and of the open one, as far as that is known."""
        pairs, open_ = self.talk.pairing, self.levels[0]
        ends = {m: [each.kept(pairs.get(m)) for each in self.ends.get(m, [])[-2:]] for m in open_.records}
        return {m: [*told, open_.end(m)] for m, told in ends.items() if m in self.talk.memory}

    def _level(self, look: Look, below: Level | None, told: Mapping[str, Sequence[Told]]) -> Level:
        """A fresh level; where there is a step before it, its answers are ``told`` by that, or foretold."""
        drives, records, origin = look.sites(look.u), {}, {}
        for m, drive in drives.items():
            pair, memory = self.talk.pairing.get(m), m in self.talk.memory
            rows = Rows.of(self.talk, m, drive)
            old = below.records[m] if below else None
            answers, faster = old.answers if old else None, self.talk.faster.get(m)
            records[m] = Records(rows, pair, memory, drive, answers, faster)
            origin[m] = old.version if old is not None else np.zeros(rows.count, np.int64)
        level = Level(look, dict(look.u), records, origin, drives)
        level.tries = {m: np.zeros(r.rows.count, np.int64) for m, r in records.items()}
        if below is not None:
            level.inherit(below, told)
        return level

    # ------------------------------------------------------------------ asking

    @property
    def done(self) -> bool:
        return self.finished or bool(self.failed)

    @property
    def u(self) -> Arrays:
        return self._back.u if self._back else self.levels[0].u

    @property
    def barrier(self) -> bool:
        """Whether nothing is decided before all answers of a request are told."""
        return self._back is not None

    def ask(self, idle: int | None = None) -> Sequence[Request]:
        """Coarse and fine requests of this step, then those of the next one for the places that are left."""
        if self.done:
            return []
        if self._back:
            return self._back.ask(idle)
        room = idle if idle is not None else 2**62
        self.ample = room + self.levels[0].running >= sum(r.rows.count for r in self.levels[0].records.values())
        asked = self._ask_of(self.levels[0], room)
        room -= sum(len(r.batches) for r in asked if isinstance(r, FineRequest))
        if room > 0:
            self._open_next()
            for level in self.levels[1:]:
                if level.told or level.running or any(level.queue.values()):
                    asked += self._ask_of(level, room)
        return asked

    def _ask_of(self, level: Level, room: int) -> list[Request]:
        """What one level asks for, at most ``room`` batches."""
        asked: list[Request] = []
        if self._flight is None and self._ready(level):
            asked.append(self._coarse(level))
        for m in sorted(level.queue) if not self._foresees(level) and (level.updates or not level.complete) else ():
            picked = self._pick(level, m, room)
            if len(picked):
                room -= len(picked)
                asked.append(self._fine(level, m, picked))
        if self._flight is None and self._ready(level):
            asked.append(self._coarse(level))
        return asked

    def _open_next(self) -> None:
        """Opens the step after this one, where that makes sense."""
        first = self.levels[0]
        if not self.depth or len(self.levels) > 1 or not first.updates or self.look.ahead is None:
            return
        following = self.look.ahead(first.u) if any(self._settled(m).any() for m in first.records) else None
        if following is not None:
            self.levels.append(self._level(following, first, self._ends()))
            self.levels[1].judge(self.talk.tolerance)
            self._line_up(self.levels[1])

    def _ready(self, level: Level) -> bool:
        """Half of the records that are on their way have come, or nothing runs and nothing waits."""
        if not level.complete:
            return False
        new, left = level.new, level.running + sum(map(len, level.queue.values()))
        if self._foresees(level):
            return True
        if level.running and (level.verb == "finish" or (level.rests and not self.ample)):
            return False  # nothing is decided before all have come
        return not level.updates or bool(new and new >= left) or (level is self.levels[0] and not left)

    def _foresees(self, level: Level) -> bool:
        """Whether the drives of a step can still be foreseen better: without memory its records are good ones from the start,
        with it they are foretold, until somebody has been asked; from rest they are powers, as long as all are told."""
        if not level.complete or level.residual <= FORESEEN or level.tried >= TRIES:
            return False
        if level.rests:
            return not level.running
        return not self.talk.memory or not (level.told or level.running)

    def _coarse(self, level: Level) -> CoarseRequest:
        key = (level.look.index, "coarse", self.serial)
        self.serial += 1
        self._flight = (key, level.look.index, {m: r.version.copy() for m, r in level.records.items()})
        answers = {m: r.at(level.drives[m]) for m, r in level.records.items()}
        previous = None if level is self.levels[0] else self.levels[0].u
        return CoarseRequest(key, level.u, answers, level.look.index, previous)

    def _pick(self, level: Level, model: str, room: int) -> Array:
        """The first batches in the queue that may run, at most ``room``."""
        picked: list[int] = []
        queue, r = level.queue[model], level.records[model]
        places = Places(self.talk.workers, [each.busy for each in self.levels])
        while queue and len(picked) < room:
            b = queue.pop(places.soonest(queue))
            if not r.running[b]:
                picked.append(b)
                r.worker[b] = places.worker(b)
                level.busy[int(r.worker[b])] += 1
        return np.array(sorted(picked), dtype=np.int64)

    def _fine(self, level: Level, model: str, batches: Array) -> FineRequest:
        r = level.records[model]
        key = (level.look.index, "fine", model, self.serial)
        self.serial += 1
        rows = r.rows.rows(batches)
        drive = {name: value[rows] for name, value in level.drives[model].items()}
        for name, value in drive.items():
            r.sent[name][rows] = value
        r.running[batches], r.serial[batches] = True, key[3]
        r.count_running += len(batches)
        r.base[batches], r.drifting[rows] = level.origin[model][batches], 0.0
        level.tries[model][batches] += 1
        return FineRequest(key, model, drive, batches, level.verb, level.look.index, r.worker[batches].tolist())

    def _line_up(self, level: Level) -> None:
        """Which batches have to run again: the last in the queue goes first."""
        ahead = level is not self.levels[0]
        least = level.worth(self.talk.tolerance, self.ample)
        wanted = {m: r.seen & ~r.running & (level.ratio[m] > least) for m, r in level.records.items()}
        level.verb = "iterate"
        if not ahead and not level.running and not level.new and not any(w.any() for w in wanted.values()):
            level.verb = "finish"
            wanted = {m: level.lag[m] > 1.0 for m in level.records}  # the step could end, but for what it leaves behind
        for m in level.records:
            if ahead:
                wanted[m] &= self._settled(m) & (level.tries[m] < BUDGET) & self._short(m)
            picked = np.flatnonzero(wanted[m])
            cost = self.talk.cost.get(m)
            order = np.argsort(cost[picked], kind="stable") if cost is not None else np.arange(len(picked))[::-1]
            level.queue[m] = picked[order].tolist()

    def _settled(self, model: str) -> Array:
        """(B,) batches of the open step whose records are good enough."""
        r, ratio = self.levels[0].records[model], self.levels[0].ratio[model]
        return np.asarray(r.seen & ~r.running & (ratio <= 1.0))

    def _short(self, model: str) -> Array:
        """(B,) batches that take no longer than what the open step waits for; others wait for a better drive."""
        cost = self.talk.cost.get(model)
        if cost is None or model not in self.talk.memory:
            return np.ones(self.levels[0].records[model].rows.count, bool)
        running = [self.talk.cost[m][r.running] for m, r in self.levels[0].records.items() if r.count_running]
        longest = max((float(c.max()) for c in running), default=0.0)
        return np.asarray(cost <= longest)

    # ------------------------------------------------------------------ telling

    def tell(self, key: tuple[Any, ...], result: Any, batches: Array | None = None) -> bool:
        """Records of some batches, or a coarse advance."""
        if self.done:
            return False
        if self._back:
            taken = len(key) == (2 if key[1] == "coarse" else 3) and self._back.tell(key, result, batches)
            self._end_of_back()
            return taken
        if key[1] != "coarse":
            return self._record(key, result, batches)
        taken = self._flight is not None and self._flight[0] == key
        if taken:
            self._advance(result)
        return taken

    def forget(self, key: tuple[Any, ...], batches: Array) -> None:
        """A request ahead that failed: these batches are asked again when their step is open."""
        level = next((x for x in self.levels if x.look.index == key[0]), None)
        if level is not None and len(key) == 4 and self._back is None:
            r = level.records[key[2]]
            picked = batches[r.running[batches] & (r.serial[batches] == key[3])]
            r.running[picked] = False
            r.count_running -= len(picked)
            level.returned(key[2], picked)

    def _record(self, key: tuple[Any, ...], result: Arrays, batches: Array | None) -> bool:
        level = next((x for x in self.levels if x.look.index == key[0]), None)
        if level is None or key[2] not in level.records or len(key) != 4:
            return False
        r = level.records[key[2]]
        picked = np.flatnonzero(r.running & (r.serial == key[3])) if batches is None else np.asarray(batches)
        new = r.running[picked] & (r.serial[picked] == key[3])
        if not new.any():
            return False
        keep = np.repeat(new, r.rows.sizes[picked])
        for later in self.levels[1:] if level is self.levels[0] else ():
            later.records[key[2]].drift(*r.moves(picked[new]))
        level.returned(key[2], picked[new])
        r.put(picked[new], {name: value[keep] for name, value in result.items()})
        level.told += int(new.sum())
        level.tried = 0 if level.rests else level.tried
        return True

    def _advance(self, step: Advance) -> None:
        assert self._flight is not None
        _, index, versions = self._flight
        self._flight = None
        level = next((x for x in self.levels if x.look.index == index), None)
        if level is None:
            return
        same = True
        for m, r in level.records.items():
            r.see(versions[m])
            same &= bool((r.version == versions[m]).all())
        if level is not self.levels[0]:
            self._advance_ahead(level, step)
            return
        self.sweeps.append(record_of(step))
        level.updates, level.residual, level.tried = level.updates + 1, step.residual, level.tried + 1
        if not step.ok:
            self._fall_back(f"coarse solve failed: {step.reason}")
        elif same and step.residual <= self.talk.tolerance and self._certain(level):
            self._finish(level)
        else:
            self._move(level, step)

    def _certain(self, level: Level) -> bool:
        """Whether the records are good enough at u, as they are now."""
        level.judge(self.talk.tolerance)
        return level.error <= 1.0

    def _finish(self, level: Level) -> None:
        self.finished = True
        self.drives = level.drives
        self.answers = {m: r.at(level.drives[m]) for m, r in level.records.items()}

    def _move(self, level: Level, step: Advance) -> None:
        """The next iterate, unless the updates do not get smaller."""
        before = {m: r.at(level.drives[m]) for m, r in level.records.items()}
        level.u = level.damped(step.u)
        if self.ends:
            level.retell(self.ends)
        level.judge(self.talk.tolerance)
        if (
            not level.progress(level.moved(before), self.talk.tolerance)
            or len(self.sweeps) > MOST * self.talk.max_sweeps
        ):
            self._fall_back(f"{PATIENCE} rounds of coarse updates without decrease")
            return
        self._line_up(level)
        self._shift_ahead()

    def _shift_ahead(self) -> None:
        """The next step starts from another state now: move it along."""
        if len(self.levels) == 1:
            return
        level, first = self.levels[1], self.levels[0]
        look = self.look.ahead(first.u) if self.look.ahead is not None else None
        if look is None:
            self.levels.pop()
            return
        if not (level.told or level.running):
            level.u = {name: value + first.u[name] - level.look.previous[name] for name, value in level.u.items()}
        level.look, level.residual, level.tried = look, np.inf, 0
        level.inherit(first, self._ends())
        level.judge(self.talk.tolerance)
        self._line_up(level)

    def _advance_ahead(self, level: Level, step: Advance) -> None:
        self.meta["coarse_ahead"] += 1
        level.updates, level.residual, level.tried = level.updates + 1, step.residual, level.tried + 1
        if step.ok and all(np.isfinite(v).all() for v in step.u.values()):
            level.u = dict(step.u)
            level.retell(self._ends())
            level.judge(self.talk.tolerance)
            self._line_up(level)

    # ------------------------------------------------------------------ falling back

    def _fall_back(self, why: str) -> None:
        """The rest of the step synchronous, from its first iterate, and nothing ahead."""
        self.meta["fallback"] = why
        del self.levels[1:]
        self._back = Condensed.begin(replace(self.look, ahead=None), self.talk)

    def _end_of_back(self) -> None:
        assert self._back is not None
        if self._back.done:
            self.failed, self.finished = self._back.failed, self._back.finished
            self.sweeps += self._back.sweeps
            self.answers, self.drives = self._back.answers, self._back.drives
