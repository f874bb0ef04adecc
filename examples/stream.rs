//! Samples on one thread and uses the structures on another as they are finished.
//!
//! ```text
//! cargo run --release --example stream
//! ```
#![allow(clippy::print_stdout, reason = "an example reports to the terminal")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use druse::crystal::Composition;
use druse::run::sample::{ChannelSink, sample};
use druse::run::{RunError, Silent};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = druse::shipped_model()?;
    let target = Composition::parse("MgO")?;
    let plan = model.plan(vec![target.into()], 1000, 0);
    let stop = AtomicBool::new(false);

    // At most four structures wait to be taken: a slow receiver holds the sampler up.
    let (sender, receiver) = mpsc::sync_channel(4);
    thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut sink = ChannelSink(sender);
            sample(model.generator()?, &model.params, &plan, &mut sink, &mut Silent, &stop)
        });
        for finished in receiver.iter().take(5) {
            match finished.result {
                Ok(structure) => println!("{}: {:.2} g/cm³", finished.index, structure.density()),
                Err(reason) => println!("{}: {reason}", finished.index),
            }
        }
        // Enough: the others are not computed. Dropping the receiver ends a sampler that waits to hand one over.
        stop.store(true, Ordering::Relaxed);
        drop(receiver);
        match sampler.join().expect("the sampler does not panic") {
            Ok(_) | Err(RunError::ReceiverGone | RunError::Interrupted) => Ok(()),
            Err(e) => Err(e.into()),
        }
    })
}
