//! `druse train-rank`: another rank of a training, as a child process of rank 0.

use std::io::{BufReader, Read, stdin};
use std::thread;

use druse_nn::device;
use druse_run::RunError;
use druse_run::train::ranks::{End, Member, Orders};
use serde_json::json;

use super::train::ended;
use crate::answer::Done;
use crate::console;
use crate::models::{registry, set_threads};

/// Runs the command.
pub fn run() -> crate::Outcome {
    let mut input = BufReader::new(stdin());
    let orders = Orders::read(&mut input).map_err(RunError::from)?;
    let rank = orders.rank;
    // The end of the input is that of the parent, however it ended.
    thread::spawn(move || {
        let mut rest = [0; 64];
        while matches!(input.read(&mut rest), Ok(n) if n > 0) {}
        std::process::exit(1);
    });
    serve(&orders).map_err(|failure| failure.of_rank(rank))
}

fn serve(orders: &Orders) -> crate::Outcome {
    // Rank 0 hears of Ctrl-C, too, and decides.
    console::deaf_once()?;
    let config = &orders.config;
    let device = device::parse(&config.train.device)?;
    set_threads(config.train.threads)?;
    let options = orders.options().map_err(RunError::from)?;
    let mut model = config.build(registry())?;
    let member = Member::join(&orders.address, orders.rank, &options, config, &mut || Ok(()))?;
    Ok(match member.serve(model.trainable_mut(), config, || config.data.load(), &device)? {
        End::Ended(ending) => ended(orders.rank, ending),
        // Rank 0 says why.
        End::Stopped(_) => Done::with(json!({})).code(1),
    })
}
