//! The measurements as table and JSON.

use druse_nn::Precision;
use druse_nn::roofline::MachineLimits;
use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::Section;
use crate::console;
use crate::failure::Failure;

/// The measurements of one run.
#[derive(Serialize, JsonSchema)]
pub struct Report {
    /// The preset.
    pub preset: String,
    /// Where it was computed.
    pub device: String,
    /// Precision of the products with weights.
    #[schemars(with = "String")]
    pub precision: Precision,
    /// How the processor computes products with weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub products: Option<&'static str>,
    /// Worker threads.
    pub threads: usize,
    /// Parameters of the model.
    pub parameters: usize,
    /// Structures of the batch.
    pub structures: usize,
    /// Their atoms.
    pub atoms: usize,
    /// What the machine can do, on the CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// One key a section that was measured.
    #[serde(flatten, serialize_with = "by_name")]
    #[schemars(with = "Measurements")]
    pub sections: Vec<(Section, Measured)>,
}

/// The members of [`Report::sections`], for its schema.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "its schema is what it is for")]
struct Measurements {
    /// Neighbor search and multigraph of each structure.
    #[schemars(skip_serializing_if = "Option::is_none")]
    graph: Option<Measured>,
    /// Fingerprints and matcher.
    #[schemars(skip_serializing_if = "Option::is_none")]
    evaluate: Option<Measured>,
    /// A step of sampling.
    #[schemars(skip_serializing_if = "Option::is_none")]
    sample: Option<Measured>,
    /// The networks and the loss, without gradient.
    #[schemars(skip_serializing_if = "Option::is_none")]
    forward: Option<Measured>,
    /// A step of training.
    #[schemars(skip_serializing_if = "Option::is_none")]
    train: Option<Measured>,
}

fn by_name<S: Serializer>(sections: &[(Section, Measured)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(sections.len()))?;
    for (section, measured) in sections {
        map.serialize_entry(section, measured)?;
    }
    map.end()
}

/// What the machine can do.
#[derive(Serialize, JsonSchema)]
pub struct Limits {
    /// Matrix products in the precision of the run, 10⁹ operations per second.
    product_gflops: f64,
    /// 10⁹ bytes per second.
    memory_gb_per_s: f64,
}

impl From<MachineLimits> for Limits {
    fn from(l: MachineLimits) -> Self {
        Self { product_gflops: 1e-9 * l.product_rate, memory_gb_per_s: 1e-9 * l.bandwidth }
    }
}

/// One section. Absent values do not apply to it or cannot be measured on this machine.
#[derive(Serialize, JsonSchema, Default)]
pub struct Measured {
    /// Of one step over the whole batch.
    pub seconds: f64,
    /// Processor time of one step over the whole batch, all threads together (Linux): hardly more on a machine that others
    /// use, too. Absent where the steps took too little of it to be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor_seconds: Option<f64>,
    /// Steps measured.
    pub repetitions: u32,
    /// Structures of the batch over the seconds of a step.
    pub structures_per_second: f64,
    /// Operations of the matrix products of one step, 10⁹; absent where they are not run by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_gflop: Option<f64>,
    /// Share of the machine's rate of matrix products.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Of one step over a batch of one structure, that of median size.
    pub one_structure_seconds: f64,
    /// Of one step over the whole batch on one thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_thread_seconds: Option<f64>,
    /// How many times as fast all threads are as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads_speedup: Option<f64>,
    /// Highest resident memory of the process while the section ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// Steps that a sampled structure takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling_steps: Option<usize>,
    /// Edges of all graphs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edges: Option<usize>,
    /// Time of the graphs over their edges, all threads together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_per_edge: Option<f64>,
    /// All the work of a training batch that needs no weights: noise, graphs, angles, targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepare_seconds: Option<f64>,
    /// Pairs of structures compared, reduction of both included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matcher_pairs_per_second: Option<f64>,
}

impl Report {
    /// Adds what the machine can do and the share of it that each section reached.
    pub fn compare_with(&mut self, limits: Option<MachineLimits>) {
        for (_, m) in &mut self.sections {
            m.share = m.product_gflop.zip(limits).map(|(g, l)| 1e9 * g / m.seconds / l.product_rate);
        }
        self.limits = limits.map(Limits::from);
    }

    /// Writes the table.
    pub fn print(&self) -> Result<(), Failure> {
        let Self { preset, device, precision, threads, parameters, structures, atoms, .. } = self;
        console::data_line(&format!(
            "{preset}, {parameters} parameters, {structures} structures, {atoms} atoms, device {device}, {precision}, {threads} threads"
        ))?;
        if let Some(l) = &self.limits {
            console::data_line(&format!(
                "machine: {:.1} GFLOP/s in matrix products ({}), {:.1} GB/s of memory traffic",
                l.product_gflops,
                self.products.unwrap_or_default(),
                l.memory_gb_per_s
            ))?;
        }
        console::data_line(&format!(
            "{:10}{:>14}{:>12}{:>12}{:>10}{:>12}{:>12}",
            "", "structures/s", "ms a step", "ms for one", "share", "memory MB", "1 → all"
        ))?;
        for (section, m) in &self.sections {
            console::data_line(&m.row(section.name()))?;
            if let Some(line) = m.remark() {
                console::data_line(&format!("{:10}{line}", ""))?;
            }
        }
        Ok(())
    }
}

impl Measured {
    fn row(&self, name: &str) -> String {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        format!(
            "{name:10}{:>14.1}{:>12.2}{:>12.2}{:>10}{:>12}{:>12}",
            self.structures_per_second,
            1e3 * self.seconds,
            1e3 * self.one_structure_seconds,
            or_dash(self.share.map(|s| format!("{:.0} %", 100.0 * s))),
            or_dash(self.peak_memory_bytes.map(|b| format!("{:.0}", 1e-6 * b as f64))),
            or_dash(self.threads_speedup.map(|s| format!("{s:.2} ×"))),
        )
    }

    /// What does not fit the columns.
    fn remark(&self) -> Option<String> {
        let mut words = Vec::new();
        if let Some(gflop) = self.product_gflop {
            words.push(format!("{gflop:.1} GFLOP in products"));
        }
        if let Some(steps) = self.sampling_steps {
            let whole = self.structures_per_second / steps as f64;
            words.push(format!("{whole:.2} whole structures/s at {steps} steps each"));
        }
        if let (Some(edges), Some(ns)) = (self.edges, self.ns_per_edge) {
            words.push(format!("{edges} edges, {ns:.0} ns each"));
        }
        if let Some(seconds) = self.prepare_seconds {
            words.push(format!("a training batch prepared in {:.1} ms", 1e3 * seconds));
        }
        if let Some(rate) = self.matcher_pairs_per_second {
            words.push(format!("matcher: {rate:.0} pairs/s"));
        }
        (!words.is_empty()).then(|| words.join("; "))
    }
}
