//! What a request stands for: the compositions of a chemical system, the templates of a composition.

mod compositions;
mod templates;

pub use compositions::{EnumerationError, Limits, Totals, compositions, parse_system};
pub use templates::{
    Frequencies, NoSpaceGroup, SitesError, TemplateLimits, Templates, TemplatesError, conditions_of,
    parse_sites, parse_space_group, templates,
};
