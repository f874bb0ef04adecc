"""Pictures and tables for notebooks. They need no network; where no script runs, a still picture and text are left."""

from __future__ import annotations

import html
import json
import math
import os
import secrets
from typing import TYPE_CHECKING, Any

from ._druse import Structure, _radii

if TYPE_CHECKING:
    from ._results import Report, Screening, Structures

#: Colors that chemists expect; other elements have one by their place in the periodic table.
_COLORS = {
    1: "#e8e8e8", 3: "#8b6fd6", 5: "#f2b28c", 6: "#6b6b6b", 7: "#4a6ee0", 8: "#e0382b", 9: "#74c04a", 11: "#a15ae0",
    12: "#6fb23a", 13: "#b9a3a0", 14: "#d9b16c", 15: "#ec8a1e", 16: "#e3c22e", 17: "#3fb53f", 19: "#8a45c4",
    20: "#5aa03c", 22: "#9aa0a6", 24: "#7f93c8", 25: "#a36fc0", 26: "#d0683a", 27: "#d27f97", 28: "#5fb07a",
    29: "#c7803a", 30: "#7c80b0", 35: "#a04a32", 53: "#8a2f9a", 78: "#c0c4d0", 79: "#e6bd34", 82: "#5b6068",
}  # fmt: skip
#: Atoms up to which bonds are looked for.
_MOST_BONDED = 400
#: Atoms up to which a picture is drawn.
_MOST_DRAWN = 1500
#: Two atoms are joined within so many times the sum of their covalent radii.
_BOND = 1.15
#: Distance from a face of the cell within which an atom is drawn on the opposite face, too (fractional).
_FACE = 1e-3
#: Pictures of a list, and rows of its table.
_PICTURES, _ROWS = 6, 20

_Point = tuple[float, float, float]


#: Covalent radii by atomic number (Å).
_RADII = _radii()


def _radius(z: int) -> float:
    """Covalent radius (Å)."""
    return _RADII[z] if _RADII[z] > 0 else 1.5


def _color(z: int) -> str:
    if z in _COLORS:
        return _COLORS[z]
    # Neighbors in the table differ.
    hue = (z * 47) % 360
    return f"hsl({hue}, 42%, 58%)"


def _script() -> str:
    with open(os.path.join(os.path.dirname(__file__), "_view.js"), encoding="utf-8") as file:
        lines = (line.strip() for line in file)
        return "\n".join(line for line in lines if line and not line.startswith("//")).replace("</", "<\\/")


class _Scene:
    """Atoms, bonds and edges of a cell, its middle at the origin (Å)."""

    def __init__(self, crystal: Structure) -> None:
        lattice = [tuple(float(x) for x in row) for row in crystal.lattice]

        def place(f: _Point) -> _Point:
            x, y, z = (sum((f[i] - 0.5) * lattice[i][k] for i in range(3)) for k in range(3))
            return (x, y, z)

        self.atoms: list[tuple[_Point, int]] = []
        for f, z in zip(crystal.frac_coords, crystal.numbers):
            ways = [(x, x + 1) if x < _FACE else (x, x - 1) if x > 1 - _FACE else (x,) for x in map(float, f)]
            for x in ways[0]:
                for y in ways[1]:
                    for w in ways[2]:
                        self.atoms.append((place((x, y, w)), int(z)))
        corners = [(float(i), float(j), float(k)) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
        self.edges = [
            (place(p), place(q)) for p in corners for q in corners if p < q and sum(a != b for a, b in zip(p, q)) == 1
        ]
        self.bonds: list[tuple[int, int]] = []
        if len(self.atoms) <= _MOST_BONDED:
            for i, (p, a) in enumerate(self.atoms):
                for j in range(i):
                    q, b = self.atoms[j]
                    if 0.1 < math.dist(p, q) < _BOND * (_radius(a) + _radius(b)):
                        self.bonds.append((i, j))


def _turn() -> list[list[float]]:
    """The first view: a little from above and from the side."""
    a, b = math.radians(-24), math.radians(16)
    ca, sa, cb, sb = math.cos(a), math.sin(a), math.cos(b), math.sin(b)
    around = [[ca, 0.0, sa], [0.0, 1.0, 0.0], [-sa, 0.0, ca]]
    tilt = [[1.0, 0.0, 0.0], [0.0, cb, -sb], [0.0, sb, cb]]
    # The third lattice vector points upwards.
    upright = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]

    def times(p: list[list[float]], q: list[list[float]]) -> list[list[float]]:
        return [[sum(p[i][k] * q[k][j] for k in range(3)) for j in range(3)] for i in range(3)]

    return times(tilt, times(around, upright))


def _still(scene: _Scene, turn: list[list[float]], size: int, label: str) -> str:
    """The picture without a script."""
    far = max(
        [math.hypot(*p) + 0.5 * _radius(z) for p, z in scene.atoms] + [math.hypot(*p) for e in scene.edges for p in e]
    )
    scale = 0.48 * size / far

    def seen(p: _Point) -> _Point:
        x, y, z = (sum(row[k] * p[k] for k in range(3)) for row in turn)
        return (size / 2 + x * scale, size / 2 - y * scale, z)

    def line(p: _Point, q: _Point, color: str, width: float) -> str:
        ends = f'x1="{p[0]:.1f}" y1="{p[1]:.1f}" x2="{q[0]:.1f}" y2="{q[1]:.1f}"'
        return f'<line {ends} stroke="{color}" stroke-width="{width}" stroke-linecap="round"/>'

    items: list[tuple[float, str]] = []
    for start, end in scene.edges:
        p, q = seen(start), seen(end)
        items.append((min(p[2], q[2]), line(p, q, "#8a8a8a", 1)))
    at = [(seen(p), z) for p, z in scene.atoms]
    for i, j in scene.bonds:
        (p, a), (q, b) = at[i], at[j]
        middle = ((p[0] + q[0]) / 2, (p[1] + q[1]) / 2, (p[2] + q[2]) / 2)
        items.append((middle[2] - 0.01, line(p, middle, _color(a), 5) + line(middle, q, _color(b), 5)))
    for p, z in at:
        circle = f'<circle cx="{p[0]:.1f}" cy="{p[1]:.1f}" r="{0.5 * _radius(z) * scale:.1f}" fill="{_color(z)}"'
        items.append((p[2], circle + ' stroke="#000" stroke-opacity="0.45" stroke-width="0.8"/>'))
    items.sort(key=lambda item: item[0])
    drawn = "".join(item[1] for item in items)
    name = html.escape(label, quote=True)
    return f'<svg width="{size}" height="{size}" role="img" aria-label="{name}">{drawn}</svg>'


def _picture(crystal: Structure, size: int) -> str:
    """The crystal, which turns where scripts run."""
    if len(crystal) > _MOST_DRAWN:
        return f"<p>{len(crystal)} atoms: too many for a picture here</p>"
    scene, turn = _Scene(crystal), _turn()
    name, label = "druse-" + secrets.token_hex(6), f"Crystal structure of {crystal.formula}"
    numbers = [[[round(x, 4) for x in row] for row in turn]]
    atoms = [[*(round(x, 3) for x in p), round(0.5 * _radius(z), 3), _color(z)] for p, z in scene.atoms]
    edges = [[[round(x, 3) for x in p] for p in edge] for edge in scene.edges]
    data = ",".join(json.dumps(part, separators=(",", ":")) for part in (name, atoms, scene.bonds, edges, size))
    still = _still(scene, turn, size, label)
    attributes = f'id="{name}" data-label="{html.escape(label, quote=True)}" data-turn="{json.dumps(numbers[0])}"'
    return f'<div {attributes} style="width:{size}px;height:{size}px">{still}</div><script>{_script()}({data});</script>'


def _legend(crystal: Structure) -> str:
    dots = []
    for symbol, z in sorted(set(zip(crystal.species, (int(z) for z in crystal.numbers)))):
        dot = f'<span style="color:{_color(z)};-webkit-text-stroke:0.5px #555">●</span>'
        dots.append(f"{dot} {symbol}")
    return " &nbsp; ".join(dots)


def _group(crystal: Structure) -> str:
    from ._errors import DruseError

    try:
        number, symbol = crystal.space_group(0.01)
    except DruseError:
        return "–"
    return f"{html.escape(symbol)} ({number})"


def _words(crystal: Structure) -> str:
    """What there is to say of a crystal, as rows of a table."""
    a, b, c = crystal.lengths
    al, be, ga = crystal.angles
    rows = [
        ("formula", html.escape(crystal.formula)),
        ("space group", _group(crystal)),
        ("a, b, c", f"{a:.3f}, {b:.3f}, {c:.3f} Å"),
        ("α, β, γ", f"{al:.2f}, {be:.2f}, {ga:.2f}°"),
        ("volume", f"{crystal.volume:.2f} Å³ ({crystal.volume / len(crystal):.2f} an atom)"),
        ("density", f"{crystal.density:.3f} g/cm³"),
    ]
    for key, value in list(crystal.properties.items())[:12]:
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        rows.append((html.escape(key), html.escape(shown if len(shown) < 60 else shown[:57] + "…")))
    head = 'style="text-align:left;font-weight:normal;opacity:0.7"'
    body = "".join(f'<tr><th scope="row" {head}>{k}</th><td style="text-align:left">{v}</td></tr>' for k, v in rows)
    return f"<table>{body}</table>"


def structure(crystal: Structure) -> str:
    """A crystal: picture and figures."""
    style = "display:flex;flex-wrap:wrap;gap:1.2em;align-items:center"
    return f'<div style="{style}"><div>{_picture(crystal, 300)}{_legend(crystal)}</div>{_words(crystal)}</div>'


def structures(found: Structures) -> str:
    """A list of crystals: the first as pictures, and a table."""
    failed = found.failures
    head = f"<p><b>{len(found)} structures</b>"
    if failed:
        head += f", {len(failed)} failed (first: {html.escape(failed[0].reason)})"
    parts = [head + "</p>"]
    if found:
        cards = []
        for crystal in found[:_PICTURES]:
            title = html.escape(crystal.reduced_formula)
            cards.append(f"<figure style='margin:0'>{_picture(crystal, 180)}<figcaption>{title}</figcaption></figure>")
        parts.append(f'<div style="display:flex;flex-wrap:wrap;gap:1em">{"".join(cards)}</div>')
        parts.append(_list(list(found)))
    return f"<div>{''.join(parts)}</div>"


def _list(rows: list[Structure]) -> str:
    body = []
    for crystal in rows[:_ROWS]:
        cells = [
            html.escape(crystal.id or ""),
            html.escape(crystal.formula),
            _group(crystal),
            f"{crystal.volume / len(crystal):.2f}",
            f"{crystal.density:.2f}",
        ]
        body.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    if len(rows) > _ROWS:
        body.append(f'<tr><td colspan="5">… {len(rows) - _ROWS} more</td></tr>')
    names = ("id", "cell", "space group", "Å³/atom", "g/cm³")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{value:.3e}"


def report(found: Report) -> str:
    """An evaluation: its metrics with their protocol."""
    all_ = found.to_dict()
    body = []
    for metric in all_["figures"]:
        interval = metric.get("interval")
        within = f"{_number(interval['low'])} … {_number(interval['high'])}" if interval else ""
        sizes = str(metric["of"]) + (f" against {metric['against']}" if metric.get("against") is not None else "")
        basis = f"{sizes}; {metric['protocol']}"
        value = _number(metric["value"])
        if metric["value"] is None and metric.get("problem"):
            value = f"– ({metric['problem']})"
        cells = [
            f'<th scope="row" style="text-align:left">{html.escape(metric["key"])}</th>',
            f"<td>{html.escape(value)}</td>",
            f"<td>{within}</td>",
            f'<td style="text-align:left;max-width:36em">{html.escape(basis)}</td>',
        ]
        body.append(f"<tr>{''.join(cells)}</tr>")
    sets = f"{all_['generated']['name']} against {all_['reference']['name']}"
    head = f"<p><b>{html.escape(all_['task'])}</b>: {html.escape(sets)}</p>"
    names = "".join(f'<th scope="col">{name}</th>' for name in ("metric", "value", "95 %", "measured on"))
    table = f"<table><thead><tr>{names}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    remarks = "".join(f"<li>{html.escape(text)}</li>" for text in all_["remarks"])
    invalid = all_["invalid"]
    more = ""
    if invalid:
        lines = "".join(
            f"<li>{html.escape(str(row['id']))}: {html.escape(row['reason'])}</li>" for row in invalid[:_ROWS]
        )
        more = f"<details><summary>{len(invalid)} rows are not valid</summary><ul>{lines}</ul></details>"
    return f"<div>{head}{table}{f'<ul>{remarks}</ul>' if remarks else ''}{more}</div>"


def screening(found: Screening) -> str:
    """A screening: where candidates fell, and the first of the ranking."""
    rows = []
    for gate in found.funnel["gates"]:
        reasons = gate["reasons"]
        pairs = reasons.items() if isinstance(reasons, dict) else reasons
        why = ", ".join(f"{count} {kind}" for kind, count in pairs)
        cells = (gate["gate"], gate["entered"], gate["fell"], why)
        rows.append("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>")
    names = "".join(f'<th scope="col">{name}</th>' for name in ("gate", "entered", "fell", "reasons"))
    table = f"<table><thead><tr>{names}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<div>{table}{structures(found.ranked)}</div>"


__all__ = ["report", "screening", "structure", "structures"]
