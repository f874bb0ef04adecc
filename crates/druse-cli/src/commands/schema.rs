//! The JSON Schema of what `--json` writes, from the types of the results.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    bench, cluster, compare, config, data, encode, export, featurize, hull, import, info, match_structures,
    merge, optimize, parity, predict, rank, reconstruct, relax, screen, train, view,
};
use crate::answer::{Envelope, ErrorReport, SCHEMA};
use crate::sampling::SamplingResult;

/// Makes the schema of a result.
type Maker = fn(&mut SchemaGenerator) -> Schema;

/// The commands and their results: a line a command.
const RESULTS: [(&str, Maker); 34] = [
    ("train", of::<train::TrainAnswer>),
    ("sample", of::<SamplingResult>),
    ("reconstruct", of::<reconstruct::Reconstructed>),
    ("optimize", of::<optimize::Optimized>),
    ("interpolate", of::<SamplingResult>),
    ("encode", of::<encode::Encoded>),
    ("view", of::<view::Viewed>),
    ("merge", of::<merge::Together>),
    ("cluster slurm", of::<cluster::Sent>),
    ("relax", of::<relax::RelaxResult>),
    ("screen", of::<screen::ScreenResult>),
    ("rank", of::<rank::Ranked>),
    ("predict", of::<predict::Predicted>),
    ("evaluate", of::<druse_evaluate::Evaluation>),
    ("compare", of::<compare::Compared>),
    ("hull", of::<hull::HullFound>),
    ("featurize", of::<featurize::Featurized>),
    ("match", of::<match_structures::Matched>),
    ("info", of::<info::Found>),
    ("data stats", of::<data::Stats>),
    ("data convert", of::<data::Converted>),
    ("data split", of::<data::Divided>),
    ("data fetch", of::<data::Downloaded>),
    ("config schema", of::<config::ConfigSchema>),
    ("config show", of::<config::Shown>),
    ("config presets", of::<config::Presets>),
    ("export", of::<export::Exported>),
    ("import", of::<import::Imported>),
    ("parity", of::<parity::Compared>),
    ("bench", of::<bench::Report>),
    ("reference cli", of::<Page>),
    ("reference config", of::<Page>),
    ("reference json", of::<Page>),
    ("reference json-schema", of::<Page>),
];

/// What `druse reference` leaves.
#[derive(Serialize, JsonSchema)]
pub struct Page {
    /// The page.
    pub page: String,
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

/// The name of a command's result among the definitions of the schema.
pub fn definition(command: &str) -> String {
    command.replace(' ', "_")
}

/// The schema: one of the results or an error, each with its envelope.
pub fn results() -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let envelope = generator.subschema_for::<Envelope>();
    let error = generator.subschema_for::<ErrorReport>();
    let mut definitions = Map::new();
    let mut alternatives = Vec::new();
    let mut define = |name: String, schema: Value| {
        alternatives.push(json!({ "$ref": format!("#/$defs/{name}") }));
        definitions.insert(name, schema);
    };
    define(
        "error".to_owned(),
        json!({
            "description": "A command that failed.",
            "allOf": [envelope, { "type": "object", "properties": { "error": error }, "required": ["error"] }],
        }),
    );
    for (command, make) in RESULTS {
        let result = make(&mut generator);
        define(
            definition(command),
            json!({
                "description": format!("`druse {command}`"),
                "allOf": [
                    envelope,
                    { "type": "object", "properties": { "command": { "const": command } } },
                    result,
                ],
                "not": { "required": ["error"] },
            }),
        );
    }
    definitions.extend(generator.take_definitions(true));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("Results of druse, version {SCHEMA} of their layout"),
        "oneOf": alternatives,
        "$defs": definitions,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Command, CommandFactory};

    use super::*;
    use crate::ranks::CHILD_COMMAND;

    fn commands(command: &Command, before: &str, found: &mut BTreeSet<String>) {
        for inner in command.get_subcommands().filter(|c| !["help", CHILD_COMMAND].contains(&c.get_name())) {
            let name = format!("{before} {}", inner.get_name()).trim().to_owned();
            match inner.has_subcommands() {
                true => commands(inner, &name, found),
                false => _ = found.insert(name),
            }
        }
    }

    #[test]
    fn every_command_has_a_result() {
        let mut found = BTreeSet::new();
        commands(&crate::Cli::command(), "", &mut found);
        assert_eq!(found, RESULTS.map(|(name, _)| name.to_owned()).into());
    }

    #[test]
    fn every_reference_of_the_schema_leads_somewhere() {
        let schema = results();
        let text = schema.to_string();
        let definitions = schema["$defs"].as_object().unwrap();
        for part in text.split(r##""$ref":"#/$defs/"##).skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(definitions.contains_key(name), "{name}");
        }
        for (command, _) in RESULTS {
            assert!(definitions[&definition(command)]["allOf"].is_array(), "{command}");
        }
    }
}
