# SPDX-License-Identifier: BSD-3-Clause
"""Atoms of a configuration by an expression of what the file says of them (`insitu classify --group`)."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError, did_you_mean
from insitu.frame.species import SYMBOLS
from insitu.offline.readers.configuration import Configuration

_COMPARED: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_COMPUTED: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Mod: operator.mod, ast.Pow: operator.pow, ast.BitAnd: np.logical_and, ast.BitOr: np.logical_or,
}  # fmt: skip
_PARTS = (
    ast.Name, ast.Subscript, ast.Constant, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.boolop,
    ast.operator, ast.unaryop, ast.cmpop, ast.expr_context,
)  # fmt: skip
_EXAMPLE = (
    "give for example 'type == 1', 'z > 10 and z < 20', 'abs(c_stress[1]) > 50', \"element == 'O'\""
)


def parse(text: str) -> ast.expr:
    """Return an expression: columns, numbers, + - * / % **, comparisons, and, or, not, abs(…).

    Raises
    ------
    SettingError
        It is none.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise SettingError(f"--group {text} is no expression; {_EXAMPLE}") from None
    for node in ast.walk(tree):
        call = (
            isinstance(node, ast.Call) and ast.unparse(node.func) == "abs" and len(node.args) == 1
        )
        if not (call or isinstance(node, _PARTS)):
            raise SettingError(
                f"--group {text}: '{ast.unparse(node)}' cannot be part of it; {_EXAMPLE}"
            )
    return tree


def atoms_of(c: Configuration, file: str, text: str) -> NDArray[np.bool_]:
    """Return the atoms ``(n,)`` of a configuration for which an expression holds.

    Parameters
    ----------
    c, file
        The configuration, in the file's own units, and where it is from.
    text
        The expression.

    Raises
    ------
    SettingError
        It is none, names what the file does not have, or is no truth value of an atom.
    """
    x, y, z = c.positions.T
    known: dict[str, Any] = {**c.columns, "x": x, "y": y, "z": z}
    for name, values in (("id", c.ids), ("type", c.types), ("element", c.names)):
        if values is not None:
            known[name] = values

    def value(node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name() | ast.Subscript():
                name = ast.unparse(node)
                if name not in known:
                    element = (
                        f" An element is written in quotes: '{name}'." if name in SYMBOLS else ""
                    )
                    raise SettingError(
                        f"--group {text}: '{file}' has no column '{name}'; it has "
                        f"{', '.join(sorted(known))}.{element or did_you_mean(name, known)}"
                    )
                return known[name]
            case ast.Call():
                return np.abs(value(node.args[0]))
            case ast.BoolOp():
                how = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
                return how.reduce([np.broadcast_to(value(v), (len(c),)) for v in node.values])
            case ast.UnaryOp():
                inner = value(node.operand)
                return -inner if isinstance(node.op, ast.USub) else np.logical_not(inner)
            case ast.BinOp() if type(node.op) in _COMPUTED:
                return _COMPUTED[type(node.op)](value(node.left), value(node.right))
            case ast.Compare() if all(type(o) in _COMPARED for o in node.ops):
                sides = [value(v) for v in (node.left, *node.comparators)]
                parts = [
                    _COMPARED[type(o)](a, b)
                    for o, a, b in zip(node.ops, sides[:-1], sides[1:], strict=True)
                ]
                return np.logical_and.reduce([np.broadcast_to(p, (len(c),)) for p in parts])
        raise SettingError(f"--group {text}: '{ast.unparse(node)}' cannot be computed; {_EXAMPLE}")

    try:
        with np.errstate(all="ignore"):
            found = np.asarray(value(parse(text)))
    except SettingError:
        raise
    except (TypeError, ValueError, np.exceptions.DTypePromotionError) as error:
        raise SettingError(f"--group {text}: {error}; {_EXAMPLE}") from None
    if found.dtype != bool:
        raise SettingError(f"--group {text} is a number, not a condition; {_EXAMPLE}")
    return np.broadcast_to(found, (len(c),)).copy()
