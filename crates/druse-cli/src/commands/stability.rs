//! `druse evaluate --task stability`.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use druse_data::Listing;
use druse_evaluate::hull::{Contradictions, EnergyChoice};
use druse_evaluate::{Evaluation, Observer, Sets, StabilitySettings, stability};
use druse_metrics::distribution::Bootstrap;
use druse_metrics::stability::{DefinitionName, StabilityDefinition};

use crate::failure::Failure;
use crate::sets::{StrictArgs, read};

/// Options of `druse evaluate --task stability`.
#[derive(Args)]
pub struct StabilityArgs {
    /// With stability: whose definition of stable, unique and novel.
    #[arg(long, value_name = "NAME", value_parser = definitions(), default_value_t = DefinitionName::Mattergen)]
    definition: DefinitionName,
    /// With stability: column of the structures' energy [default: the only usual one]. Repeatable, one a potential: their mean
    /// counts.
    #[arg(long, value_name = "COLUMN")]
    energy: Vec<String>,
    /// With stability: column of the reference's energy, one a potential [default: that of the structures].
    #[arg(long, value_name = "COLUMN")]
    hull_energy: Vec<String>,
    /// With stability: method of the structures' energies, one a potential [default: the rows' property `energy_scale` or
    /// `potential`].
    #[arg(long, value_name = "NAME")]
    energy_scale: Vec<String>,
    /// With stability: method of the reference's energies.
    #[arg(long, value_name = "NAME")]
    hull_scale: Vec<String>,
    /// With stability: compare energies on different scales all the same.
    #[arg(long)]
    force_scale: bool,
    /// With stability: how many structures were submitted, those that failed before included [default: the rows of the set, or
    /// of --unrelaxed].
    #[arg(long, value_name = "N")]
    submitted: Option<usize>,
    /// With stability: the structures before relaxation, under the same identifiers.
    #[arg(long, value_name = "SET")]
    unrelaxed: Option<PathBuf>,
}

/// Names of the definitions.
fn definitions() -> impl TypedValueParser<Value = DefinitionName> {
    let values = DefinitionName::ALL.map(|d| PossibleValue::new(d.name()).help(d.about()));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<DefinitionName>())
}

impl StabilityArgs {
    /// The first option that was given, for tasks that have no use for them.
    pub fn given(&self) -> Option<&'static str> {
        let given = [
            (self.definition != DefinitionName::default(), "--definition"),
            (!self.energy.is_empty(), "--energy"),
            (!self.hull_energy.is_empty(), "--hull-energy"),
            (!self.energy_scale.is_empty(), "--energy-scale"),
            (!self.hull_scale.is_empty(), "--hull-scale"),
            (self.force_scale, "--force-scale"),
            (self.submitted.is_some(), "--submitted"),
            (self.unrelaxed.is_some(), "--unrelaxed"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
    }

    /// Runs the evaluation.
    pub fn evaluate(
        &self,
        sets: Sets<'_>,
        bootstrap: Option<Bootstrap>,
        strict: StrictArgs,
        watch: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Evaluation, Failure> {
        let settings = StabilitySettings {
            definition: StabilityDefinition::named(self.definition),
            energies: self.energies()?,
            contradictions: Contradictions::Refuse,
            force_scale: self.force_scale,
            submitted: self.submitted,
            bootstrap,
        };
        let unrelaxed: Option<Listing> =
            self.unrelaxed.as_deref().map(|path| read(path, &[], strict)).transpose()?;
        Ok(stability(sets, unrelaxed.as_ref(), &settings, watch, stop)?)
    }

    /// How energies are read, of the structures and of the reference, a pair a potential.
    fn energies(&self) -> Result<Vec<[EnergyChoice; 2]>, Failure> {
        let n = self.energy.len().max(self.hull_energy.len()).max(1);
        for (name, list) in [
            ("--energy", &self.energy),
            ("--hull-energy", &self.hull_energy),
            ("--energy-scale", &self.energy_scale),
            ("--hull-scale", &self.hull_scale),
        ] {
            if !list.is_empty() && list.len() != n {
                let text = format!("{name} is given {} times for {n} potentials", list.len());
                return Err(Failure::mistake(text).hint("each of these options stands once a potential"));
            }
        }
        let pair = |k: usize| {
            let choice = |column: Option<&String>, method: &[String]| EnergyChoice {
                column: column.cloned(),
                amount: None,
                method: method.get(k).cloned(),
            };
            let own = self.energy.get(k);
            [choice(own, &self.energy_scale), choice(self.hull_energy.get(k).or(own), &self.hull_scale)]
        };
        Ok((0..n).map(pair).collect())
    }
}
