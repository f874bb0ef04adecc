//! Predictions of a property as a page for a browser.

use druse_data::{Item, Listing};
use druse_page::Card;

use super::crystals::{Gallery, card, drawn, parts};
use super::html::document;
use super::parity::Parity;
use super::text::{escape, number};

/// Crystals of each end that are shown.
const EXTREME: usize = 6;
/// Seed of what is drawn at random.
const SEED: u64 = 0;

/// The prediction for one row of a set.
#[derive(Debug, Clone, PartialEq)]
pub struct RowPrediction {
    /// The prediction, or why there is none.
    pub value: Result<f64, String>,
    /// The value in the data, where it has one.
    pub reference: Option<f64>,
}

/// What the page shows.
#[derive(Debug, Clone)]
pub struct PredictionsPage<'a> {
    /// The property.
    pub property: &'a str,
    /// The model, in words.
    pub model: &'a str,
    /// The set.
    pub set: &'a Listing,
    /// A prediction for each row of the set.
    pub rows: &'a [RowPrediction],
}

/// The page: one file, nothing loaded from elsewhere.
pub fn page(p: &PredictionsPage<'_>) -> String {
    let title = format!("{} of {}", p.property, p.set.name);
    let pairs: Vec<(usize, f64, f64)> = (0..p.rows.len())
        .filter_map(|i| Some((i, p.rows[i].reference?, *p.rows[i].value.as_ref().ok()?)))
        .collect();
    let failed = p.rows.iter().filter(|row| row.value.is_err()).count();
    let mut body = format!("<h1>{}</h1>\n<dl>\n<dt>Model</dt><dd>{}</dd>\n", escape(&title), escape(p.model));
    body += &format!("<dt>Structures</dt><dd>{}, {failed} without a prediction</dd>\n", p.rows.len());
    body += &format!("<dt>With a value in the data</dt><dd>{}</dd>\n</dl>\n", pairs.len());
    let parity = Parity {
        title: format!("Prediction against the value in the data: {}", p.property),
        across: "value in the data".to_owned(),
        up: "prediction".to_owned(),
        points: pairs.iter().map(|(_, reference, value)| (*reference, *value)).collect(),
    };
    body += &parity.html();
    let galleries = match pairs.is_empty() {
        true => by_value(p),
        false => by_error(p, pairs),
    };
    let (crystals, assets) = parts(&galleries);
    body += &crystals;
    body += &assets;
    document(&title, &body)
}

fn row_card(p: &PredictionsPage<'_>, i: usize) -> Option<Card> {
    let (item, row): (&Item, _) = (p.set.items.get(i)?, p.rows.get(i)?);
    let mut facts = Vec::new();
    let mut caption = String::new();
    match &row.value {
        Ok(value) => facts.push((format!("Predicted {}", p.property), number(*value))),
        Err(reason) => caption.clone_from(reason),
    }
    if let Some(reference) = row.reference {
        facts.push(("In the data".to_owned(), number(reference)));
        facts.extend(row.value.as_ref().ok().map(|v| ("Difference".to_owned(), number(v - reference))));
    }
    Some(card(item, if row.value.is_err() { "no prediction" } else { "" }, caption, facts))
}

fn random(p: &PredictionsPage<'_>) -> Gallery {
    let chosen = drawn(p.rows.len(), EXTREME, &p.set.name, SEED);
    let note = format!("{} of {}, drawn with seed {SEED}", chosen.len(), p.rows.len());
    Gallery::of("Drawn at random", note, chosen.into_iter().filter_map(|i| row_card(p, i)).collect())
}

fn by_error(p: &PredictionsPage<'_>, mut pairs: Vec<(usize, f64, f64)>) -> Vec<Gallery> {
    pairs.sort_by(|a, b| (a.2 - a.1).abs().total_cmp(&(b.2 - b.1).abs()).then(a.0.cmp(&b.0)));
    let rows: Vec<usize> = pairs.into_iter().map(|(i, ..)| i).collect();
    ends(p, &rows, ["Smallest errors", "Largest errors"])
}

fn by_value(p: &PredictionsPage<'_>) -> Vec<Gallery> {
    let mut values: Vec<(usize, f64)> =
        p.rows.iter().enumerate().filter_map(|(i, row)| Some((i, *row.value.as_ref().ok()?))).collect();
    values.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let rows: Vec<usize> = values.into_iter().map(|(i, _)| i).collect();
    ends(p, &rows, ["Lowest predictions", "Highest predictions"])
}

/// Both ends of an order, and some of all.
fn ends(p: &PredictionsPage<'_>, order: &[usize], titles: [&str; 2]) -> Vec<Gallery> {
    let cards = |rows: &mut dyn Iterator<Item = usize>| rows.filter_map(|i| row_card(p, i)).collect();
    let first = cards(&mut order.iter().copied().take(EXTREME));
    let last = cards(&mut order.iter().copied().skip(EXTREME).rev().take(EXTREME));
    vec![Gallery::of(titles[1], "", last), Gallery::of(titles[0], "", first), random(p)]
}

#[cfg(test)]
mod tests {
    use druse_crystal::{Element, Lattice, Structure};

    use super::*;

    #[test]
    fn a_page_shows_errors_and_crystals() {
        let iron = Element::from_symbol("Fe").unwrap();
        let cube = |edge| Structure::new(Lattice::cubic(edge).unwrap(), vec![iron], vec![[0.0; 3]]).unwrap();
        let set = Listing::from_structures("iron", [cube(2.8), cube(2.9), cube(3.0)]);
        let row = |value: Result<f64, &str>, reference| RowPrediction {
            value: value.map_err(str::to_owned),
            reference,
        };
        let rows = [row(Ok(1.0), Some(1.5)), row(Ok(2.0), Some(2.0)), row(Err("too large"), None)];
        let p = PredictionsPage { property: "gap", model: "a model", set: &set, rows: &rows };
        let html = page(&p);
        for part in
            ["2 pairs: mean absolute difference 0.2500", "too large", "<dt>Difference</dt><dd>-0.5000</dd>"]
        {
            assert!(html.contains(part), "{part}");
        }
        let without = rows.clone().map(|row| RowPrediction { reference: None, ..row });
        let html = page(&PredictionsPage { rows: &without, ..p });
        assert!(html.contains("Lowest predictions") && !html.contains("<figure"));
    }
}
