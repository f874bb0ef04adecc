//! The model of the example keeps the contract, as one of a program's own would have to.
#![cfg(feature = "models")]

#[path = "../../../examples/own_model.rs"]
#[allow(dead_code, reason = "the example's program is not run here")]
mod own_model;

use druse::models::Registry;
use druse_testkit::contract::{self, Check};

#[test]
fn it_keeps_the_contract() {
    let registry = Registry::builtin().with(own_model::kind()).unwrap();
    contract::kind(&registry, "edge").run();
    let settings = registry.kind("edge").unwrap().defaults();
    contract::model(move || registry.build(&settings, &Default::default()).unwrap())
        .objective_keeps(Check::Permutation)
        .objective_keeps(Check::CellChoice)
        .run();
}
