"""Writes a page that shows what a notebook shows, for the tests in a browser: `python notebook.py PAGE`.

Outputs are put into the page as notebooks do it: as HTML whose scripts run afterwards, one by one. Below, the same outputs
stand as in a notebook that is not trusted, where no script runs.
"""

from __future__ import annotations

import json
import sys

import druse

#: Puts every output into a cell, and runs its scripts, as Jupyter does.
RUN = """
for (const [name, html] of Object.entries(outputs)) {
  for (const place of ['live', 'still']) {
    const cell = document.createElement('div');
    cell.className = 'output';
    cell.dataset.name = name;
    document.getElementById(place).append(cell);
    // Two outputs of one identifier would get into each other's way.
    cell.innerHTML = place === 'live' ? html : html.replaceAll('druse-', 'still-');
    if (place === 'still') continue;
    for (const script of cell.querySelectorAll('script')) {
      const alive = document.createElement('script');
      alive.textContent = script.textContent;
      script.replaceWith(alive);
    }
  }
}
document.documentElement.dataset.ready = 'yes';
"""


def main() -> None:
    page = sys.argv[1]
    crystals = druse.sample("LiFeO2", n=3, seed=0)
    known = druse.Structures([*druse.sample("NaCl", n=2, seed=0), *druse.sample("SrTiO3", n=2, seed=0)])
    report = druse.evaluate(crystals, known, bootstrap=10, cache=False)
    outputs = {
        "structure": crystals[0]._repr_html_(),
        "structures": crystals._repr_html_(),
        "report": report._repr_html_(),
    }
    text = json.dumps(outputs).replace("</", "<\\/")
    with open(page, "w", encoding="utf-8") as file:
        file.write(
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>A notebook</title>'
            '<h1>Trusted</h1><div id="live"></div><h1>Not trusted</h1><div id="still"></div>'
            f"<script>const outputs = {text};{RUN}</script></html>"
        )


if __name__ == "__main__":
    main()
