"""What notebooks show."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from common import rock_salt

import druse


class Balanced(HTMLParser):
    """Refuses elements that are not closed."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("line", "circle", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" not in self.open:
            self.text.append(data)


def shown(value) -> tuple[str, str]:
    html = value._repr_html_()
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    # Nothing is fetched.
    assert not re.search(r"(src|href)\s*=|https?:|import\s*\(|fetch\s*\(", html)
    return html, " ".join(parser.text)


def test_a_structure_is_a_picture_and_text():
    salt = rock_salt().with_properties({"name": "<b>salt</b> & more", "energy": -3.25})
    html, text = shown(salt)
    assert "<svg" in html and "canvas" in html and "Fm-3m (225)" in text and "Na1 Cl1" in text
    assert "<b>salt" not in html and "<b>salt</b> & more" in text
    # A corner of the cell has eight images, its middle one.
    circles = len(re.findall("<circle", html))
    assert circles == 9
    assert shown(salt)[0] != html, "every picture has a name of its own"


def test_a_cell_with_too_many_atoms_is_text():
    n = 1501
    chain = druse.Structure([[3, 0, 0], [0, 3, 0], [0, 0, 3 * n]], ["Fe"] * n, [[0, 0, i / n] for i in range(n)])
    html, text = shown(chain)
    assert "<svg" not in html and "too many for a picture" in text


def test_lists_show_their_first(salts):
    html, text = shown(druse.Structures(salts * 5))
    assert "30 structures" in text and "10 more" in text and html.count("<svg") == 6
    assert "0 structures" in shown(druse.Structures())[1]


def test_reports_show_metrics_with_their_protocol(salts):
    report = druse.evaluate([*salts[:2], rock_salt(edge=0.8)], salts, bootstrap=10, cache=False)
    _, text = shown(report)
    assert "cov_recall" in text and "against 6" in text and "1 rows are not valid" in text
    assert "cov_recall" in repr(report) or "Report generation" in repr(report)


@pytest.mark.parametrize("formula", ["LiFeO2", "C"])
def test_sampled_structures_are_shown(formula):
    assert "<svg" in shown(druse.sample(formula, n=2))[0]
