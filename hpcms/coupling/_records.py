"""What a scheme knows of a fine model in one step: an affine law at every site, with an estimate of its error.

    sigma(eps) = sigma0 + A (eps - eps0),    error <= error0 + min(kappa |d|^2 / 2, |A d| + |sigma0| |d| / |eps|),   d = eps - eps0

``error0`` is what the micro iterate still lacks. ``kappa`` is measured: by how much a new record differs from what the one
before it had predicted. The bound of first order, with tangent and secant, serves until then.

Without memory a record is good for all steps, and two of them, at a and b, say more than one: along the line between them the
answer is the cubic that has both stresses and both slopes (Hermite). ``kappa`` is then what that still misses. On the line it
misses q |eps - a|^2 |eps - b|^2, with a q that each new record measures; beside it, what the curvature along it would make.

A model with memory has a second error, its ``lag``: what it remembers follows the drive and the micro iterate to first order
only, lag0 + |A d| + |sigma0| |d| / |eps|. That hurts nobody while the step is worked on; before the step ends
it has to be small too.
"""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array, Arrays, Faster
from hpcms.coupling._rows import Rows

SHARE = 0.1  # of the tolerance: what the errors of the records may add up to
SAFETY = 2.0  # on the measured curvature
FADE = 0.25  # of an old curvature that a new measurement does not confirm
SMALL = 1e-4  # a drive that moved by less than this share tells nothing of a curvature
REACH = 1.5  # how far from its newest record a cubic is believed, over the distance of its two
FARTHEST, WORTH = 4.0, 0.5  # the same where what it misses is less than this part of what it adds
MOST = 1e6  # times the span: the first order is all there is
NOISE = 1e-9  # of an answer: differences below tell nothing either
FLAT, STRETCH = 0.05, 300.0  # the least degree of a power, and how far along the drive it is believed
STALE = 1e-2  # relative error of a record whose history has moved on, about that of what is foretold
TINY = 1e-300
Pair = tuple[str, str] | None


def affine(pair: Pair, drive: Arrays, answers: Arrays, at: Arrays) -> Arrays:
    """The answers at ``drive`` carried over to ``at``: the paired one by its tangents, work and energy by what that does."""
    if pair is None or "tangent" not in answers:
        return answers
    shift = np.einsum("rij,rj->ri", answers["tangent"], at[pair[0]] - drive[pair[0]])
    if "tangent_temperature" in answers and "temperature" in at:
        warmer = np.asarray(at["temperature"] - drive["temperature"])
        shift = shift + answers["tangent_temperature"] * warmer[:, None]
    return carried(pair, drive, answers, at, answers[pair[1]] + shift)


def carried(pair: tuple[str, str], drive: Arrays, answers: Arrays, at: Arrays, flux: Array) -> Arrays:
    """All answers where the paired one is ``flux``: work is that of the means (Hill and Mandel), energy grows by the trapezoid."""
    (eps0, eps), flux0 = (drive[pair[0]], at[pair[0]]), answers[pair[1]]
    out = {**answers, pair[1]: flux}
    if "work" in answers:
        out["work"] = answers["work"] + (flux * eps).sum(axis=-1) - (flux0 * eps0).sum(axis=-1)
    if "energy" in answers:
        out["energy"] = answers["energy"] + 0.5 * ((flux0 + flux) * (eps - eps0)).sum(axis=-1)
    return out


def powered(pair: tuple[str, str], rest: Array, drive: Arrays, answers: Arrays, at: Arrays) -> Arrays:
    """As ``affine``, for what answers from rest by a power m of the drive, as creep does: with the increments y at ``at``, y0 at
    ``drive``, y = x y0 + z and B = A y0,

        sigma = sigma0 + (x^m - 1) / m B + x^(m-1) A z,    m = B . sigma0 / |sigma0|^2,

    which is exact along y0 and has the tangent A there. x is kept in bounds; what is beyond them counts as z.
    """
    tangent, sigma0 = answers["tangent"], answers[pair[1]]
    y, y0 = at[pair[0]] - rest, drive[pair[0]] - rest
    along = np.einsum("rij,rj->ri", tangent, y0)
    own = (tangent != 0.0).any(axis=1)  # a plane model leaves out columns
    size = np.where(own, sigma0**2, 0.0).sum(axis=-1)
    m = np.where(own, along * sigma0, 0.0).sum(axis=-1) / np.maximum(size, TINY)
    x = (y * y0).sum(axis=-1) / np.maximum((y0**2).sum(axis=-1), TINY)
    # below ``FLAT`` it is no power, and at one it is affine
    x = np.where((m > FLAT) & (m < 1.0) & (x > 0), np.clip(x, 1.0 / STRETCH, STRETCH), 1.0)
    m = np.clip(m, FLAT, 1.0)[:, None]
    x = x[:, None]
    slope = x ** (m - 1.0)
    beside = np.einsum("rij,rj->ri", tangent, y) - x * along
    flux = sigma0 + (x**m - 1.0) / m * along + slope * beside
    if "tangent_temperature" in answers and "temperature" in at:
        flux = flux + answers["tangent_temperature"] * np.asarray(at["temperature"] - drive["temperature"])[:, None]
    out = carried(pair, drive, answers, at, flux)
    out["tangent"] = slope[:, :, None] * tangent
    return out


def turned(change: Array, line: Array) -> Array:
    """(S, n, n) the smallest symmetric change of a tangent that changes what it gives along ``line`` (S, n) by ``change``."""
    unit = line / np.maximum(np.linalg.norm(line, axis=-1, keepdims=True), TINY)
    change = change / np.maximum(np.linalg.norm(line, axis=-1, keepdims=True), TINY)
    both = change[:, :, None] * unit[:, None, :]
    along = (change * unit).sum(axis=-1)[:, None, None] * unit[:, :, None] * unit[:, None, :]
    return np.asarray(both + both.transpose(0, 2, 1) - along)


class Records:
    """The records of one fine model at S sites in B batches.

    By site: ``drive`` and ``answers`` of each record, ``error0``, ``kappa`` (inf while unknown), ``known``: not merely
    supposed; ``drifted``, how much the history that the record started from has changed since, as an error of the answer,
    and ``drifting``, the same for the record that is on its way. ``start``: the paired drives that the step starts from;
    ``rests``: these are none; ``power``: whether the answers are taken as a power of what the drives have moved since, as from
    rest, or where the last record was told better by that than by an affine law. ``faster``: see ``hpcms.contracts``.

    By batch: ``version``, the number of records so far; ``base``, the version of the step before that the newest one started
    from; ``running``, ``serial`` and ``worker``, its newest request; ``sent``: the drives of the running ones; ``seen``: whether
    a coarse solve saw the newest record.
    """

    def __init__(
        self, rows: Rows, pair: Pair, memory: bool, drive: Arrays, answers: Arrays | None = None,
        faster: Faster | None = None,
    ) -> None:  # fmt: skip
        self.rows, self.pair, self.memory = rows, pair, memory
        S, B = len(next(iter(drive.values()))), rows.count
        self.drive: Arrays = {name: np.array(value, float) for name, value in drive.items()}
        self.sent: Arrays = {name: value.copy() for name, value in self.drive.items()}
        self.answers: Arrays = {name: value.copy() for name, value in (answers or {}).items()}
        self.error0, self.lag0, self.kappa, self.known = np.zeros(S), np.zeros(S), np.full(S, np.inf), np.zeros(S, bool)
        self.span = np.zeros(S)  # how far from a record its prediction was ever compared with the next one, fading
        self.version, self.base, self.serial = np.zeros(B, np.int64), np.full(B, -1), np.full(B, -1)
        self.drifted, self.drifting = np.zeros(S), np.zeros(S)
        self.guessed = answers is not None
        self.start: Array | None = None
        self.rests, self.power = False, np.zeros(S, bool)
        self.faster = faster
        # the anchor's ``drive``, ``answer``, ``slope``; ``line``: b - a; ``square``, ``cube``: of the answer along it, from b
        self.bend: Arrays = {}
        self.quartic = np.full(S, np.inf)  # q; inf while unknown
        self.running, self.seen, self.worker = np.zeros(B, bool), np.ones(B, bool), np.zeros(B, np.int64)
        self.count_running = self.count_new = 0

    @property
    def kept(self) -> Array:
        """(B,) batches with a record whose history has moved so little since that it says more than what is foretold."""
        out: Array = (self.version > 0) & (self.rows.largest(self.drifted) <= STALE * self.size())
        return out

    @property
    def complete(self) -> bool:
        """Whether there is an answer at every site, perhaps one that is supposed."""
        return self.guessed or bool(self.known.all())

    def suppose(self, rows: Array, drive: Arrays, answers: Arrays) -> None:
        """Answers at ``drive`` that nobody has given, of all sites, for ``rows``."""
        for own, other in ((self.drive, drive), (self.answers, answers)):
            for name, value in own.items():
                value[rows] = other[name][rows]

    def put(self, batches: Array, answers: Arrays) -> None:
        """New records over the rows of ``batches``, at the drives that were sent."""
        rows = self.rows.rows(batches)
        drive = {name: value[rows] for name, value in self.sent.items()}
        given = {name: value for name, value in answers.items() if name not in ("error", "lag")}
        if not self.answers:
            self.answers = {name: np.zeros((len(self.known), *value.shape[1:])) for name, value in given.items()}
        self._measure(rows, drive, given)
        if self.pair is not None and not self.memory:
            first = np.repeat(self.version[batches] == 0, self.rows.sizes[batches])
            self._bend(rows, drive, given, self.pair, first)
        for name, value in drive.items():
            self.drive[name][rows] = value
        for name, value in given.items():
            self.answers[name][rows] = value
        self.error0[rows], self.lag0[rows] = answers.get("error", 0.0), answers.get("lag", 0.0)
        self.known[rows] = True
        self.drifted[rows] = self.drifting[rows]
        self.version[batches] += 1
        self.count_new += int(self.seen[batches].sum())
        self.count_running -= len(batches)
        self.seen[batches], self.running[batches] = False, False

    def see(self, versions: Array) -> None:
        """A coarse solve has seen these versions."""
        self.seen |= self.version == versions
        self.count_new = int((~self.seen).sum())

    def _measure(self, rows: Array, drive: Arrays, answers: Arrays) -> None:
        """kappa from what the records so far had predicted for the new drives."""
        if self.pair is None:
            return
        old_drive = {name: value[rows] for name, value in self.drive.items()}
        old = self.at(drive, rows, np.inf)
        missed = np.linalg.norm(answers[self.pair[1]] - old[self.pair[1]], axis=-1)
        if self.start is not None and not self.rests:
            was = self.power[rows]
            self.power[rows] = ~was
            other = np.linalg.norm(answers[self.pair[1]] - self.at(drive, rows)[self.pair[1]], axis=-1)
            better = self.known[rows] & (other < missed)
            self.power[rows] = was ^ better
            missed = np.where(better, other, missed)
        moved = np.linalg.norm(drive[self.pair[0]] - old_drive[self.pair[0]], axis=-1)
        size, whole = (np.linalg.norm(x, axis=-1) for x in (answers[self.pair[1]], drive[self.pair[0]]))
        told = self.known[rows] & (moved > SMALL * whole)
        missed = np.maximum(missed - self.error0[rows] - answers.get("error", 0.0) - NOISE * size, 0.0)
        seen = SAFETY * 2.0 * missed / np.where(told, moved, 1.0) ** 2
        before = self.kappa[rows]
        kept = np.where(np.isfinite(before), FADE * before, 0.0)
        self.kappa[rows] = np.where(told, np.maximum(seen, kept), before)
        self.span[rows] = np.where(told, np.maximum(moved, FADE * self.span[rows]), self.span[rows])
        if self.bend:
            told &= (self.bend["line"][rows] != 0).any(axis=-1)
            away = np.linalg.norm(drive[self.pair[0]] - self.bend["drive"][rows], axis=-1)
            seen = missed / np.where(told, np.maximum(moved * away, TINY), 1.0) ** 2
            before = np.where(np.isfinite(self.quartic[rows]), FADE * self.quartic[rows], 0.0)
            self.quartic[rows] = np.where(told, np.maximum(seen, before), self.quartic[rows])

    def _bend(self, rows: Array, drive: Arrays, answers: Arrays, pair: tuple[str, str], first: Array) -> None:
        """The cubic from an anchor, a, to the new record, b. The record so far becomes the anchor where the new one is the
        ``first`` of a step, or far."""
        names = {"drive": self.drive[pair[0]], "answer": self.answers[pair[1]], "slope": self.answers["tangent"]}
        b = drive[pair[0]]
        if not self.bend:
            self.bend = {name: value.copy() for name, value in names.items()}
            shapes = {"line": names["drive"], "square": names["answer"], "cube": names["answer"]}
            self.bend |= {name: np.zeros_like(value) for name, value in shapes.items()}
        moved, reach = (
            np.linalg.norm(b - names["drive"][rows], axis=-1),
            np.linalg.norm(self.bend["line"][rows], axis=-1),
        )
        away = np.where(first, 0.0, 0.5 * reach)
        far = self.known[rows] & (moved > np.maximum(SMALL * np.linalg.norm(b, axis=-1), away))
        for name, value in names.items():
            self.bend[name][rows[far]] = value[rows[far]]
        line = b - self.bend["drive"][rows]
        bent = self.known[rows] & (far | (reach > 0))
        slope = np.einsum("rij,rj->ri", answers["tangent"], line)
        missed = self.bend["answer"][rows] - answers[pair[1]] + slope
        turned = np.einsum("rij,rj->ri", self.bend["slope"][rows], line) - slope
        for name, value in {"line": line, "square": 3 * missed + turned, "cube": turned + 2 * missed}.items():
            self.bend[name][rows[bent]] = value[bent]

    def _along(self, drive: Arrays, some: Array | slice, reach: float) -> tuple[Array, Array]:
        """(S, 1) how far drives are from b along the line, over b - a, and (S,) whether the cubic is believed there."""
        assert self.pair is not None
        line, square, cube = (self.bend[name][some] for name in ("line", "square", "cube"))
        along = ((drive[self.pair[0]] - self.drive[self.pair[0]][some]) * line).sum(axis=-1, keepdims=True)
        length = (line**2).sum(axis=-1)
        t = along / np.maximum(length, TINY)[:, None]
        with np.errstate(invalid="ignore", over="ignore"):
            misses = self.quartic[some] * ((t * (1.0 + t))[:, 0] * length) ** 2
        far = np.abs(t[:, 0])
        worth = (far <= FARTHEST) & (misses < WORTH * np.linalg.norm(t**2 * (square + t * cube), axis=-1))
        return t, (length > 0) & ((far <= reach) | worth)

    def at(self, drive: Arrays, some: Array | slice = slice(None), reach: float = REACH) -> Arrays:
        """The answers of the sites ``some`` at other drives; ``reach``: where cubics end."""
        own, told = ({name: value[some] for name, value in x.items()} for x in (self.drive, self.answers))
        powers: Arrays = {}
        if self.start is not None and self.pair is not None and "tangent" in told and self.power[some].any():
            powers = powered(self.pair, self.start[some], own, told, drive)
            if self.power[some].all():
                return powers
        found = affine(self.pair, own, told, drive)
        if powers:
            chosen = self.power[some]
            return {n: np.where(chosen.reshape(-1, *(1,) * (v.ndim - 1)), powers[n], v) for n, v in found.items()}
        if not self.bend or self.pair is None:
            return found
        line, square, cube = (self.bend[name][some] for name in ("line", "square", "cube"))
        t, believed = self._along(drive, some, reach)
        t = np.where(believed[:, None], t, 0.0)
        out = carried(self.pair, own, told, drive, found[self.pair[1]] + t**2 * (square + t * cube))
        out["tangent"] = told["tangent"] + turned(t * (2.0 * square + 3.0 * t * cube), line)
        if "energy" in out:  # the integral of the cubic instead of the trapezoid
            out["energy"] = out["energy"] - ((t**3 / 6.0 * square + t**4 / 4.0 * cube) * line).sum(axis=-1)
        return out

    def estimate(self, drive: Arrays) -> Array:
        """(S,) what the paired answers at ``drive`` may be wrong by; inf where there is no record."""
        if not self.answers:
            return np.full(len(self.known), np.inf)
        if self.pair is None:
            away = np.zeros(len(self.known), bool)
            for name, value in drive.items():
                away |= (self.drive[name] != value).reshape(len(away), -1).any(axis=1)
            return np.where(self.known & ~away, self.error0, np.inf)
        moved = np.linalg.norm(drive[self.pair[0]] - self.drive[self.pair[0]], axis=-1)
        # beyond the span kappa says little, not even where it is zero: it grows, and so does the noise below which it is that
        far = np.clip(moved / np.where(self.span > 0, self.span, np.inf), 1.0, MOST) ** 2
        noise = np.where(far > 1.0, NOISE * np.linalg.norm(self.answers[self.pair[1]], axis=-1) * far**2, 0.0)
        with np.errstate(invalid="ignore"):
            second = np.where(moved > 0, 0.5 * self.kappa * moved**2 * far + noise, 0.0)
        if self.bend:
            second = np.minimum(second, self._between(drive, self.pair))
        wrong = self.error0 + self.drifted + np.minimum(self._first(drive, self.pair), second)
        return np.where(self.known, wrong, np.inf)

    def _between(self, drive: Arrays, pair: tuple[str, str]) -> Array:
        """(S,) what the cubics miss; inf where none is believed."""
        line, (t, believed) = self.bend["line"], self._along(drive, slice(None), REACH)
        beside = np.linalg.norm(drive[pair[0]] - self.drive[pair[0]] - t * line, axis=-1)
        t, length = t[:, 0], np.linalg.norm(line, axis=-1)
        with np.errstate(invalid="ignore", over="ignore"):
            curved = np.linalg.norm(self.bend["square"], axis=-1) / np.maximum(length**2, TINY)
            missed = self.quartic * (t * (1.0 + t)) ** 2 * length**4
            missed = missed + curved * beside * (beside + 2.0 * np.abs(t) * length)
        noise = NOISE * np.linalg.norm(self.answers[pair[1]], axis=-1)
        return np.where(np.isfinite(self.quartic) & believed, missed + noise, np.inf)

    def _first(self, drive: Arrays, pair: tuple[str, str], some: Array | slice = slice(None)) -> Array:
        """(S,) what the answers change by to first order, with the tangent and with the secant."""
        told, now = self.answers[pair[1]][some], self.at(drive, some)[pair[1]]
        eps0, eps = self.drive[pair[0]][some], drive[pair[0]]
        reach = np.maximum(np.linalg.norm(eps, axis=-1), np.linalg.norm(eps0, axis=-1))
        share = np.linalg.norm(eps - eps0, axis=-1) / np.maximum(reach, TINY)
        out: Array = np.linalg.norm(now - told, axis=-1) + np.linalg.norm(told, axis=-1) * share
        return out

    def lag(self, drive: Arrays, some: Array | slice = slice(None)) -> Array:
        """(S,) what the memory of a step that ends at ``drive`` would be wrong by, in the unit of the answer."""
        if not self.memory or self.pair is None or not self.answers:
            return np.zeros(len(self.known))[some]
        out: Array = self.lag0[some] + self._first(drive, self.pair, some)
        return out

    def moves(self, batches: Array) -> tuple[Array, Array]:
        """The rows of ``batches``, and how much their memory changes when the records that were sent come."""
        rows = self.rows.rows(batches)
        change = self.lag({name: value[rows] for name, value in self.sent.items()}, rows)
        return rows, np.where(self.known[rows], change, 0.0)

    def drift(self, rows: Array, change: Array) -> None:
        """The history of ``rows`` has changed: by so much in the answers of the step before."""
        self.drifted[rows] += change
        self.drifting[rows] += change

    def size(self) -> float:
        """Root mean square of the paired answers, the measure of their errors."""
        if self.pair is None or not self.answers:
            return 1.0
        return float(np.sqrt((self.answers[self.pair[1]] ** 2).sum(axis=-1).mean()))
