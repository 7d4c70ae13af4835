# SPDX-License-Identifier: BSD-3-Clause
"""Draw the map of the source: the folders of insitu/ along the way of the data, made from the code.

Boxes have the first line of the folder's docstring, its number of modules, and what it imports
(type checking apart). The order is checked against LAYERS of tests/test_architecture.py.

python tools/data_way.py        # writes docs/data_way.svg; another name, or .png, as argument
"""

from __future__ import annotations

import ast
import sys
import textwrap
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "insitu"
#: The way of a frame's data, from LAMMPS to the reader.
WAY = ("lammps", "frame", "descriptors", "models", "analyses", "history", "views")
#: What calls the stages of the way one after another, and what stands under several of them.
ABOVE, BELOW = "pipeline", "gpu"
INK, PALE, STRONG = "#24323d", "#eef2f5", "#d5e6f2"


def layers() -> tuple[str, ...]:
    """Return LAYERS of the architecture test: names from top to bottom."""
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS":
            names: tuple[str, ...] = ast.literal_eval(node.value)
            return names
    raise SystemExit("tests/test_architecture.py has no LAYERS")


def imports(folder: str) -> list[str]:
    """Return the other folders that the modules of a folder import, in the order of the layers."""
    found = set()
    for path in (SOURCE / folder).rglob("*.py"):
        tree = ast.parse(path.read_text())
        checked = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            if id(node) not in checked:
                found |= {n.split(".")[1] for n in names if n.startswith("insitu.")}
    folders = {"_kernels": "kernels"} | {n: n for n in layers() if (SOURCE / n).is_dir()}
    return [folders[n] for n in (*layers(), "_kernels") if n in found & folders.keys() - {folder}]


def text(folder: str, width: int) -> tuple[str, str]:
    """Return the wrapped docstring of a folder and a line on its modules and imports."""
    doc = ast.get_docstring(ast.parse((SOURCE / folder / "__init__.py").read_text())) or ""
    first = doc.splitlines()[0].rstrip(".").replace("``", "")
    modules = sum(1 for p in (SOURCE / folder).rglob("*.py") if p.name != "__init__.py")
    uses = ", ".join(imports(folder)) or "nothing of ours"
    below = f"{modules} modules; imports {uses}"
    return textwrap.fill(first, width), textwrap.fill(below, int(width * 1.2))


def draw(out: Path) -> None:
    """Write the map."""
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "insitu", "font.size": 8.5})
    folders = [n for n in layers() if (SOURCE / n).is_dir()]
    missing = {*WAY, ABOVE, BELOW} - set(folders)
    assert not missing, f"no longer folders: {missing}; change WAY, ABOVE, BELOW"
    programs = [n for n in folders if n not in {*WAY, ABOVE, BELOW}]
    figure = Figure(figsize=(11.6, 6.0))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, 116)
    axes.set_ylim(4.5, 64.5)
    axes.set_axis_off()

    def box(
        x: float, y: float, w: float, h: float, name: str, body: tuple[str, str], fill: str
    ) -> None:
        shape = FancyBboxPatch(
            (x, y), w, h, boxstyle="round,pad=0,rounding_size=0.8", fc=fill, ec=INK, lw=0.8
        )
        axes.add_patch(shape)
        axes.text(x + 0.9, y + h - 0.9, name, va="top", weight="bold", color=INK, fontsize=9.5)
        axes.text(
            x + 0.9, y + h - 3.3, body[0], va="top", color=INK, fontsize=7.8, linespacing=1.15
        )
        axes.text(
            x + 0.9, y + 0.7, body[1], va="bottom", color="0.42", fontsize=6.4, linespacing=1.15
        )

    def arrow(x: float, y: float, to_x: float, to_y: float) -> None:
        style = {"arrowstyle": "-|>,head_width=0.3,head_length=0.5", "color": "#1f6fb2", "lw": 2.2}
        axes.annotate("", (to_x, to_y), (x, y), arrowprops=style)

    step = 115 / len(programs)
    for k, name in enumerate(programs):
        box(1 + k * step, 51, step - 1.2, 12, name, text(name, int(step * 1.5)), PALE)
    step = 115 / len(WAY)
    box(1, 38.5, 115 - 1.2, 8.5, ABOVE, text(ABOVE, 120), STRONG)
    for k, name in enumerate(WAY):
        x = 1 + k * step
        box(x, 21.5, step - 2.6, 14.5, name, text(name, 21), STRONG)
        if k:
            arrow(x - 2.7, 28.5, x + 0.1, 28.5)
    axes.text(1, 48.2, "a fix calls the pipeline, which takes each frame along the arrows",
              color="#1f6fb2", fontsize=8.5)  # fmt: skip
    box(1 + step, 13.2, 4 * step - 2.6, 6.3, BELOW, text(BELOW, 90), STRONG)
    kernels = "C++, outside insitu/: core, cpu, cuda; lammps is the plug-in that a deck loads"
    box(1, 5.5, 5 * step - 2.6, 6.3, "kernels", (kernels, ""), STRONG)
    options = {"metadata": {"Date": None}} if out.suffix == ".svg" else {"dpi": 110}
    figure.savefig(out, **options)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "data_way.svg"
    draw(target)
    sys.stdout.write(f"wrote {target}\n")
