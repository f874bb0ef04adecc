//! A screening as a page for a browser: where candidates fell, the best, their energies above hull.

use super::crystals::{self, Gallery};
use super::funnel::{self, FunnelGate};
use super::html::{bullets, document, histogram, table};
use super::parity::Parity;
use super::text::escape;
use crate::Chart;

/// A figure at the top of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// What it is.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What it is measured on; may be empty.
    pub note: String,
}

/// What the page shows.
#[derive(Debug, Clone)]
pub struct ScreeningPage {
    /// Its title.
    pub title: String,
    /// What was screened and how: names and texts.
    pub facts: Vec<(String, String)>,
    /// The figures at the top.
    pub tiles: Vec<Tile>,
    /// The gates in order.
    pub funnel: Vec<FunnelGate>,
    /// Crystals: the best, some that fell.
    pub galleries: Vec<Gallery>,
    /// Formation energies by the potential against those of the reference, where it has them.
    pub parity: Option<Parity>,
    /// Heads of the table of the best; the fourth and fifth columns are numbers.
    pub heads: Vec<String>,
    /// The best candidates.
    pub best: Vec<Vec<String>>,
    /// How many are ranked.
    pub ranked: usize,
    /// Energies above hull of candidates and entries.
    pub chart: Option<Chart>,
    /// What a reader should know.
    pub remarks: Vec<String>,
}

/// The page: one file, nothing loaded from elsewhere.
pub fn page(p: &ScreeningPage) -> String {
    let mut body = format!("<h1>{}</h1>\n<dl>\n", escape(&p.title));
    for (name, text) in &p.facts {
        body += &format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(text));
    }
    body += "</dl>\n<div class=\"tiles\">";
    for tile in &p.tiles {
        body += &format!(
            "<div class=\"tile\"><span class=\"soft\">{}</span><b>{}</b><small>{}</small></div>",
            escape(&tile.name),
            escape(&tile.value),
            escape(&tile.note)
        );
    }
    body += "</div>\n<h2>Gates</h2>\n<figure>";
    body += &funnel::svg(&p.funnel, p.ranked);
    body += "</figure>\n<div class=\"scroll\"><table><thead><tr><th>Gate</th><th class=\"n\">Entered</th><th class=\"n\">Fell</th><th>Why</th></tr></thead><tbody>\n";
    for FunnelGate { name, entered, fell, why } in &p.funnel {
        body += &format!(
            "<tr><td>{}</td><td class=\"n\">{entered}</td><td class=\"n\">{fell}</td><td class=\"basis\">{}</td></tr>\n",
            escape(name),
            escape(why)
        );
    }
    body += "</tbody></table></div>\n";
    let (crystals, assets) = crystals::parts(&p.galleries);
    body += &crystals;
    if let Some(chart) = &p.chart {
        body += "<h2>Energies above hull</h2>\n<div class=\"legend\"><span><i class=\"g\"></i>candidates</span><span><i class=\"r\"></i>compounds of the hull's entries</span></div>\n<div class=\"charts\">\n";
        body += &histogram(chart);
        body += "</div>\n";
    }
    if let Some(parity) = &p.parity {
        body += "<h2>Formation energies</h2>\n";
        body += &parity.html();
    }
    body += &format!("<h2>The best {} of {} ranked</h2>\n", p.best.len(), p.ranked);
    body += &table(&p.heads, &p.best, &[0, 3, 4]);
    body += &bullets("Remarks", &p.remarks);
    body += &assets;
    document(&p.title, &body)
}
