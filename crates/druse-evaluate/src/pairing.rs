//! Which predictions belong to which reference.

use std::collections::HashMap;

use druse_data::Item;

use crate::evaluation::Task;
use crate::{EvaluateError, Sets, columns};

/// Identifiers that a remark names.
const NAMED: usize = 5;

/// Which predictions belong to which reference.
///
/// Predictions that find no reference belong to none and match nothing, references that find no prediction count as not
/// matched; remarks name both. Only where no prediction finds one, the sets are refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Pairing {
    /// By identifier where at least half of the predictions have that of a reference; by order where none has, and there
    /// are as many of the one as of the other. Anything between is refused: a choice could be wrong, and would change every
    /// figure. Identifiers that were counted because a file gives none ([`Item::counted`]) take no part.
    #[default]
    Auto,
    /// The i-th prediction belongs to the i-th reference.
    Order,
    /// Predictions carry the identifier of their reference.
    Id,
    /// Predictions carry the identifier of their reference in this property.
    Property(String),
}

/// Predictions with their references.
#[derive(Debug)]
pub(crate) struct Paired {
    /// The prediction rows of each reference row.
    pub rows: Vec<Vec<usize>>,
    /// How they were found, and who found nobody.
    pub remark: String,
}

/// Pairs the predictions with the references.
///
/// # Errors
/// [`EvaluateError::Pairing`].
pub(crate) fn pair(sets: Sets<'_>, task: Task, pairing: &Pairing) -> Result<Paired, EvaluateError> {
    let (predictions, references) = (&sets.generated.items, &sets.reference.items);
    let own = |item: &Item| Some(item.id.clone());
    let given = |item: &Item| (!item.counted).then(|| item.id.clone());
    let paired = match pairing {
        Pairing::Order => in_order(sets).ok_or_else(|| {
            let (n, m) = (predictions.len(), references.len());
            refused(format!("{n} predictions and {m} references cannot be paired in order"))
        })?,
        Pairing::Id => by_name(sets, "identifier", own, own)?,
        Pairing::Property(name) => by_name(sets, name, |item| columns::text(item, name), own)?,
        Pairing::Auto => {
            let known = places(references, given).0;
            let found: Vec<&Item> = predictions
                .iter()
                .filter(|item| given(item).is_some_and(|id| known.contains_key(&id)))
                .collect();
            match found.first() {
                None => {
                    let mut paired = in_order(sets).ok_or_else(|| nobody(sets))?;
                    if predictions.iter().chain(references).all(|item| !item.counted) {
                        paired.remark += "; no prediction has the identifier of a reference";
                        paired.remark += &examples(sets);
                    }
                    paired
                }
                Some(_) if 2 * found.len() >= predictions.len() => by_name(sets, "identifier", given, given)?,
                Some(first) => {
                    let (n, all, id) = (found.len(), predictions.len(), &first.id);
                    return Err(refused(format!(
                        "only {n} of {all} predictions {} the identifier of a reference (the first: `{id}`), so that it \
                         cannot be told whether identifiers or the order say which belongs to which; choose --pair id \
                         or --pair order",
                        if n == 1 { "has" } else { "have" }
                    )));
                }
            }
        }
    };
    if task == Task::Reconstruction
        && let Some((place, rows)) = paired.rows.iter().enumerate().find(|(_, rows)| rows.len() > 1)
    {
        let (id, n) = (&references[place].id, rows.len());
        return Err(refused(format!(
            "the reference with the identifier `{id}` has {n} predictions; that is the task `prediction`"
        )));
    }
    Ok(paired)
}

fn refused(reason: String) -> EvaluateError {
    EvaluateError::Pairing(reason)
}

/// Row by row; `None` unless there are as many of the one as of the other.
fn in_order(sets: Sets<'_>) -> Option<Paired> {
    let n = sets.reference.len();
    (sets.generated.len() == n).then(|| Paired {
        rows: (0..n).map(|i| vec![i]).collect(),
        remark: "predictions and references are paired in order".to_owned(),
    })
}

/// Neither identifiers nor numbers agree.
fn nobody(sets: Sets<'_>) -> EvaluateError {
    let (n, m) = (sets.generated.len(), sets.reference.len());
    refused(format!(
        "no prediction has the identifier of a reference{}, and {n} predictions and {m} references cannot be paired in order",
        examples(sets)
    ))
}

/// An identifier of either set.
fn examples(sets: Sets<'_>) -> String {
    match (sets.generated.items.first(), sets.reference.items.first()) {
        (Some(p), Some(r)) => format!(" (the first are `{}` and `{}`)", p.id, r.id),
        _ => String::new(),
    }
}

/// The references by name, and a name that occurs twice.
fn places(
    references: &[Item],
    name: impl Fn(&Item) -> Option<String>,
) -> (HashMap<String, usize>, Option<String>) {
    let mut places = HashMap::new();
    let mut repeated = None;
    for (i, item) in references.iter().enumerate() {
        if let Some(name) = name(item)
            && places.insert(name.clone(), i).is_some()
        {
            repeated.get_or_insert(name);
        }
    }
    (places, repeated)
}

/// Each prediction with the reference whose name it carries. `what` it carries is an identifier or a property.
fn by_name(
    sets: Sets<'_>,
    what: &str,
    of_prediction: impl Fn(&Item) -> Option<String>,
    of_reference: impl Fn(&Item) -> Option<String>,
) -> Result<Paired, EvaluateError> {
    let (predictions, references) = (&sets.generated.items, &sets.reference.items);
    let (places, repeated) = places(references, of_reference);
    if let Some(id) = repeated {
        let text =
            format!("the identifier `{id}` is that of two references; --pair order goes by the order alone");
        return Err(refused(text));
    }
    let mut rows = vec![Vec::new(); references.len()];
    let (mut strangers, mut nameless) = (Vec::new(), Vec::new());
    for (row, item) in predictions.iter().enumerate() {
        match of_prediction(item) {
            Some(name) => match places.get(&name) {
                Some(&place) => rows[place].push(row),
                None => strangers.push(name),
            },
            None => nameless.push(item.id.clone()),
        }
    }
    let all = predictions.len();
    if strangers.len() + nameless.len() == all {
        return Err(match (strangers.first(), nameless.first()) {
            (None, Some(first)) => refused(format!("no prediction has {what}, from `{first}` on")),
            _ => refused(format!(
                "the {what} of no prediction is the identifier of a reference{}",
                examples(sets)
            )),
        });
    }
    let how = if what == "identifier" { "identifier".to_owned() } else { format!("the property `{what}`") };
    let mut remark = format!("predictions and references are paired by {how}");
    let mut add = |who: &[String], of: usize, one: &str, many: &str| {
        if !who.is_empty() {
            remark += &format!(
                "; {} of {of} {}: {}",
                who.len(),
                if who.len() == 1 { one } else { many },
                list(who)
            );
        }
    };
    add(
        &strangers,
        all,
        "predictions has the identifier of no reference and matches nothing",
        "predictions have the identifier of no reference and match nothing",
    );
    add(
        &nameless,
        all,
        &format!("predictions has no {what} and matches nothing"),
        &format!("predictions have no {what} and match nothing"),
    );
    let alone: Vec<String> =
        rows.iter().zip(references).filter(|(r, _)| r.is_empty()).map(|(_, item)| item.id.clone()).collect();
    add(
        &alone,
        references.len(),
        "references has no prediction and counts as not matched",
        "references have no prediction and count as not matched",
    );
    Ok(Paired { rows, remark })
}

/// The first few of some names.
fn list(names: &[String]) -> String {
    let mut text: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    if names.len() > NAMED {
        text.push("…".to_owned());
    }
    text.join(", ")
}

#[cfg(test)]
mod tests {
    use druse_crystal::{Element, Lattice, Structure};
    use druse_data::Listing;

    use super::*;

    /// Rows with these identifiers; `-` for one that was counted.
    fn listing(ids: &[&str]) -> Listing {
        let polonium = || {
            let species = vec![Element::from_z(84).unwrap()];
            Structure::new(Lattice::cubic(3.35).unwrap(), species, vec![[0.0; 3]]).unwrap()
        };
        let mut listing = Listing::from_structures("set", ids.iter().map(|_| polonium()));
        for (item, id) in listing.items.iter_mut().zip(ids) {
            if *id != "-" {
                (item.id, item.counted) = ((*id).to_owned(), false);
            }
        }
        listing
    }

    fn paired(predictions: &[&str], references: &[&str], pairing: &Pairing) -> Result<Paired, String> {
        let (generated, reference) = (listing(predictions), listing(references));
        let sets = Sets { generated: &generated, reference: &reference, train: None };
        pair(sets, Task::Reconstruction, pairing).map_err(|e| e.to_string())
    }

    #[test]
    fn one_stranger_changes_nobody_else() {
        let references = ["A", "B", "C"];
        let all = paired(&["B", "A", "C"], &references, &Pairing::Auto).unwrap();
        assert_eq!(all.rows, [[1], [0], [2]]);
        assert_eq!(all.remark, "predictions and references are paired by identifier");
        for pairing in [Pairing::Auto, Pairing::Id] {
            let two = paired(&["B", "A", "X"], &references, &pairing).unwrap();
            assert_eq!(two.rows, [vec![1], vec![0], vec![]]);
            assert!(
                two.remark.contains("1 of 3 predictions has the identifier of no reference"),
                "{}",
                two.remark
            );
            assert!(
                two.remark.contains("nothing: `X`; 1 of 3 references has no prediction"),
                "{}",
                two.remark
            );
        }
        // A broken line has no identifier at all.
        let broken = paired(&["B", "-", "C"], &references, &Pairing::Auto).unwrap();
        assert_eq!(broken.rows, [vec![], vec![0], vec![2]]);
        assert!(broken.remark.contains("1 of 3 predictions has no identifier"), "{}", broken.remark);
    }

    #[test]
    fn order_counts_only_where_no_identifier_is_known() {
        let references = ["A", "B", "C"];
        let none = paired(&["0", "1", "2"], &references, &Pairing::Auto).unwrap();
        assert_eq!((none.rows, none.remark.contains("in order")), (vec![vec![0], vec![1], vec![2]], true));
        assert!(
            none.remark
                .contains("no prediction has the identifier of a reference (the first are `0` and `A`)")
        );
        // Numbers that were counted on both sides say nothing, even where they agree.
        let counted = paired(&["-", "-"], &["-", "-"], &Pairing::Auto).unwrap();
        assert!(counted.remark.ends_with("in order"), "{}", counted.remark);
        let few = paired(&["0", "C", "2"], &references, &Pairing::Auto).unwrap_err();
        assert!(few.contains("only 1 of 3 predictions has the identifier") && few.contains("`C`"), "{few}");
        assert!(paired(&["0", "C", "2"], &references, &Pairing::Id).is_ok());
        assert_eq!(paired(&["0", "C", "2"], &references, &Pairing::Order).unwrap().rows.len(), 3);
        let uneven = paired(&["0", "1"], &references, &Pairing::Auto).unwrap_err();
        assert!(
            uneven.contains("no prediction has the identifier") && uneven.contains("2 predictions"),
            "{uneven}"
        );
    }

    #[test]
    fn repeated_identifiers_are_named() {
        let twice = paired(&["A", "B"], &["A", "A"], &Pairing::Auto).unwrap_err();
        assert!(twice.contains("`A` is that of two references"), "{twice}");
        assert!(paired(&["A", "B"], &["A", "A"], &Pairing::Order).is_ok());
        let many = paired(&["A", "A"], &["A", "B"], &Pairing::Auto).unwrap_err();
        assert!(many.contains("`A` has 2 predictions"), "{many}");
        let stranger = paired(&["x"], &["A", "B"], &Pairing::Id).unwrap_err();
        assert!(stranger.contains("identifier of no prediction"), "{stranger}");
        let property = paired(&["A", "B"], &["A", "B"], &Pairing::Property("prompt".into())).unwrap_err();
        assert!(property.contains("no prediction has prompt"), "{property}");
    }
}
