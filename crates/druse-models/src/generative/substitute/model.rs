//! The answer to a request.

use druse_crystal::{Composition, SpaceGroup, Structure};
use druse_data::substitution::{Candidate, Library};

use crate::known_crystals::KnownCrystals;
use crate::{Conditions, ModelError};

/// Space groups that a message lists.
const LISTED: usize = 8;

/// The crystals of a training set, ready to have their elements exchanged.
#[derive(Debug, Clone, Default)]
pub struct Substitute {
    pub(super) known: KnownCrystals,
}

impl Substitute {
    /// The training set.
    pub fn library(&self) -> &Library {
        self.known.library()
    }

    /// The candidate with this place, from 0.
    pub(super) fn candidate(&self, conditions: &Conditions, place: u64) -> Result<Structure, ModelError> {
        let cannot = ModelError::Condition;
        let composition =
            conditions.composition.as_ref().ok_or_else(|| cannot("no composition is given".into()))?;
        let group = conditions.space_group;
        let all = self.library().candidates(composition, group).map_err(|e| cannot(e.to_string()))?;
        let mut found = 0;
        for candidate in all {
            if found == place {
                return answer(&candidate);
            }
            found += 1;
        }
        Err(cannot(match (found, group) {
            (0, Some(number)) => self.no_such_group(composition, number),
            (0, None) => format!("no candidate for {}", composition.formula()),
            (found, _) => format!(
                "no further candidate for {}: the training set has {found} in all",
                composition.formula()
            ),
        }))
    }

    fn no_such_group(&self, composition: &Composition, number: u16) -> String {
        let mut groups: Vec<(usize, u16)> =
            self.library().space_groups(composition).into_iter().map(|(group, n)| (n, group)).collect();
        groups.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let name = |number: u16| SpaceGroup::new(number).map_or(number.to_string(), ToString::to_string);
        let there: Vec<String> = groups.iter().take(LISTED).map(|&(_, group)| name(group)).collect();
        format!(
            "no crystal of the training set with the numbers of atoms of {} has the space group {}; there are {}{}",
            composition.formula(),
            name(number),
            there.join(", "),
            if groups.len() > LISTED { " …" } else { "" }
        )
    }
}

/// A candidate with what it is made of.
fn answer(candidate: &Candidate<'_>) -> Result<Structure, ModelError> {
    let mut structure = candidate.structure().map_err(|e| ModelError::Output(e.to_string()))?;
    let parent = candidate.parent;
    structure.properties.extend([
        ("rank".to_owned(), candidate.rank.into()),
        ("distance".to_owned(), candidate.distance.into()),
        ("parent".to_owned(), parent.id().into()),
        ("parent_formula".to_owned(), parent.composition().to_string().into()),
        ("template".to_owned(), candidate.template().to_string().into()),
    ]);
    Ok(structure)
}
