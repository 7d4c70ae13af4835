# SPDX-License-Identifier: BSD-3-Clause
"""What a deck says of a profile: along what, from where on, and its short form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from insitu.analyses.settings import setting
from insitu.errors import SettingError

#: Names of the axes in a deck, by their number.
AXES = "xyz"
MOST_BINS = 10_000
#: Where the profile begins: the first two stay, the others move with atoms.
ORIGINS = ("box", "point", "center", "low", "high", "front")


@dataclass(frozen=True)
class ProfileSettings:
    """What a deck says of a profile."""

    bins: int = setting("how many", low=1, high=MOST_BINS)
    axis: str | None = setting(
        "vector of the box along which the bins, or cylinders, lie",
        default=None,
        allowed=tuple(AXES),
    )
    direction: tuple[float, ...] | None = setting(
        "instead of it the normal of the bins: 1,1,0", default=None
    )
    shape: str = setting(
        "slabs; shells about the origin; or about an axis through it", default="slab",
        allowed=("slab", "sphere", "cylinder"),
    )  # fmt: skip
    low: float | None = setting(
        "where the first begins; without it the box of the first analysed step", default=None,
        unit="the deck's length",
    )  # fmt: skip
    high: float | None = setting(
        "where the last ends, with `low` only", default=None, unit="the deck's length"
    )
    origin: str = setting(
        "from where positions are taken: the box (of shells its middle), a point, the center of mass or an "
        "end of some atoms, or a front", default="box", allowed=ORIGINS,
    )  # fmt: skip
    point: tuple[float, ...] | None = setting(
        "of `origin point`: x,y,z", default=None, unit="the deck's length"
    )
    phase: tuple[str, ...] | None = setting(
        "whose atoms the origin is of, or which phase ends at the front", default=None
    )
    members: str | None = setting("LAMMPS group whose atoms the origin is of", default=None)
    level: float = setting(
        "share of the phase that falls below this at the front", default=0.5, low=0.0, high=1.0
    )
    density: float | None = setting(
        "instead of a phase: number density that falls below this at the front", default=None,
        low=0.0, unit="atoms per volume in the deck's unit of length",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            given, other = ("low", "high") if self.high is None else ("high", "low")
            raise SettingError(f"{given} is given and {other} is not; give both, or neither")
        if self.low is not None and self.high is not None:
            finite = np.isfinite([self.low, self.high]).all()
            if not (finite and self.low < self.high):
                raise SettingError(
                    f"low={self.low:g} high={self.high:g} begins at or after its end; give low < high"
                )
        self._check_where()
        self._check_origin()

    def _check_where(self) -> None:
        along = "axis" if self.axis is not None else "direction" if self.direction else ""
        if self.shape == "sphere" and along:
            raise SettingError(f"a sphere has no {along}; leave {along} out")
        if self.shape == "sphere":
            return
        if self.axis is not None and self.direction is not None:
            raise SettingError("axis and direction are given; give one of them")
        if not along or (self.shape == "cylinder" and along == "direction"):
            more = " or direction" if self.shape == "slab" else ", a vector of the box"
            raise SettingError(f"shape={self.shape} needs an axis (x, y, z){more}; give it")
        for name in ("direction", "point"):
            three = getattr(self, name)
            if three is not None and (len(three) != 3 or not np.isfinite(three).all()):
                raise SettingError(
                    f"{name}={','.join(map(str, three))} is no vector; give three numbers"
                )
        if self.direction is not None and not np.any(self.direction):
            raise SettingError("direction=0,0,0 is none; give three numbers that are not all 0")

    def _check_origin(self) -> None:
        o = self.origin
        if (o == "point") != (self.point is not None):
            raise SettingError("origin=point and point=x,y,z go together; give both, or neither")
        if self.point is not None and len(self.point) != 3:
            raise SettingError(f"point has {len(self.point)} numbers; give three")
        if self.shape != "slab" and o in ("low", "high", "front"):
            raise SettingError(
                f"origin={o} is a plane, and shape={self.shape} needs a point or axis; give box, point or "
                "center"
            )
        if o == "front":
            if (self.phase is None) == (self.density is None) or self.members is not None:
                raise SettingError(
                    "origin=front needs `phase` (whose share falls at it) or `density`, one of them, and "
                    "no `members`"
                )
        elif self.density is not None:
            raise SettingError("density belongs to origin=front; leave it out, or give that")
        if o in ("box", "point") and (self.phase or self.members):
            raise SettingError(
                f"phase and members say whose center or end the origin is, and origin={o} is none; give "
                "center, low, high or front"
            )

    @classmethod
    def parse(cls, words: tuple[str, ...]) -> ProfileSettings:
        """Return the settings from ``axis, bins`` or ``axis, bins, low, high``: the short form.

        Raises
        ------
        SettingError
            They are not understood.
        """
        text = ",".join(words)
        try:
            axis, number, *rest = words
            bins, limits = int(number), tuple(map(float, rest))
            if axis not in AXES or len(axis) != 1 or len(limits) not in (0, 2):
                raise ValueError
        except ValueError:
            raise SettingError(
                f"profile={text} is not understood; give an axis (x, y, z) and a number of bins, and if "
                "wanted where they begin and end: profile z,50 or profile z,50,0,400"
            ) from None
        if not 1 <= bins <= MOST_BINS:
            raise SettingError(f"profile={text}: {bins} bins; give 1 … {MOST_BINS}")
        if limits and not (np.isfinite(limits).all() and limits[0] < limits[1]):
            raise SettingError(f"profile={text} begins at or after its end; give low < high")
        low, high = limits or (None, None)
        return cls(bins, axis, low=low, high=high)
