//! `druse info --machine`: what this machine offers, and what of it the program uses.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use druse_crystal::files;
use druse_nn::roofline::MachineLimits;
use druse_nn::{Precision, arch, device};
use schemars::JsonSchema;
use serde::Serialize;

use super::Found;
use crate::console;
use crate::failure::Failure;

/// Precisions whose rates are measured.
const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::F32Split, Precision::Bf16];

/// Measured for each rate.
const BUDGET: Duration = Duration::from_millis(200);

/// The machine, and what the program uses of it. What the system does not tell is `null`.
#[derive(Serialize, JsonSchema)]
pub struct MachineFound {
    /// The processor, by its name (Linux).
    processor: Option<String>,
    /// Cores, each once however many threads it runs (Linux).
    cores: Option<usize>,
    /// Threads that run at a time, as far as this process may use them.
    hardware_threads: Option<usize>,
    /// Worker threads of the program, unless `--threads` or `RAYON_NUM_THREADS` says otherwise.
    worker_threads: usize,
    /// Kind of the processor and widest vector instructions that operations by hand use.
    instructions: String,
    /// The unit of the processor that multiplies matrices (Linux).
    matrix_unit: Option<String>,
    /// Whether matrix products use it.
    matrix_unit_used: bool,
    /// Memory of the machine (Linux).
    memory_bytes: Option<u64>,
    /// What of it programs can have without that others go to disk (Linux).
    memory_available_bytes: Option<u64>,
    /// Kinds of device that this build can compute on.
    devices_compiled: Vec<String>,
    /// Devices of these kinds that are there, as `--device` takes them.
    devices_found: Vec<String>,
    /// Rates of matrix products, one for each precision.
    products: Vec<ProductRate>,
    /// Memory traffic of all worker threads together, 10⁹ bytes per second.
    memory_gb_per_s: f64,
}

/// How fast matrix products are on the CPU.
#[derive(Serialize, JsonSchema)]
struct ProductRate {
    /// As `--precision` takes it.
    precision: String,
    /// How products are computed in it; `null` where they cannot be.
    method: Option<String>,
    /// All worker threads together, 10⁹ operations per second, measured; `null` where the precision cannot be had.
    gflops: Option<f64>,
    /// Why it cannot be had.
    reason: Option<String>,
}

/// Looks and measures.
pub fn found() -> Result<Found, Failure> {
    let machine = MachineFound::measured();
    console::data(&machine.text())?;
    Ok(Found::Machine(Box::new(machine)))
}

impl MachineFound {
    fn measured() -> Self {
        let system = |path| files::read_to_string(Path::new(path)).unwrap_or_default();
        let (processors, memory) = (system("/proc/cpuinfo"), system("/proc/meminfo"));
        let (mut products, mut bandwidth) = (Vec::new(), 0.0f64);
        for precision in PRECISIONS {
            let checked = precision.check(&device::cpu());
            let rates = checked.is_ok().then(|| MachineLimits::measure(BUDGET, precision));
            bandwidth = bandwidth.max(rates.map_or(0.0, |rates| rates.bandwidth));
            products.push(ProductRate {
                precision: precision.to_string(),
                method: rates.map(|_| precision.products().to_owned()),
                gflops: rates.map(|rates| 1e-9 * rates.product_rate),
                reason: checked.err().map(|error| error.to_string()),
            });
        }
        Self {
            processor: member(&processors, "model name").map(str::to_owned),
            cores: cores(&processors),
            hardware_threads: std::thread::available_parallelism().ok().map(Into::into),
            worker_threads: rayon::current_num_threads(),
            instructions: arch::instructions(),
            matrix_unit: matrix_unit(&processors).map(str::to_owned),
            matrix_unit_used: arch::has_unit(),
            memory_bytes: kilobytes(&memory, "MemTotal"),
            memory_available_bytes: kilobytes(&memory, "MemAvailable"),
            devices_compiled: device::compiled().map(str::to_owned).collect(),
            devices_found: device::available(),
            products,
            memory_gb_per_s: 1e-9 * bandwidth,
        }
    }

    fn text(&self) -> String {
        let known = |number: Option<usize>, what: &str| {
            number.map_or(format!("unknown number of {what}s"), |n| plural(n, what))
        };
        let mut text = format!("processor       {}\n", self.processor.as_deref().unwrap_or("unknown"));
        text += &format!(
            "cores           {}, {}; {}\n",
            known(self.cores, "core"),
            known(self.hardware_threads, "thread"),
            plural(self.worker_threads, "worker thread")
        );
        text += &format!("instructions    {}\n", self.instructions);
        let unit = match (&self.matrix_unit, self.matrix_unit_used) {
            (None, _) => "none known".to_owned(),
            (Some(unit), true) => format!("{unit}, used"),
            (Some(unit), false) => format!("{unit}, not used"),
        };
        text += &format!("matrix unit     {unit}\n");
        let gigabytes =
            |bytes: Option<u64>| bytes.map_or("unknown".into(), |b| format!("{:.1} GB", 1e-9 * b as f64));
        text += &format!(
            "memory          {}, available {}\n",
            gigabytes(self.memory_bytes),
            gigabytes(self.memory_available_bytes)
        );
        text += &format!("compiled for    {}\n", self.devices_compiled.join(", "));
        text += &format!("devices         {}\n", self.devices_found.join(", "));
        for rate in &self.products {
            let words = match (rate.gflops, &rate.reason) {
                (Some(gflops), _) => {
                    format!("{gflops:.1} GFLOP/s, {}", rate.method.as_deref().unwrap_or_default())
                }
                (None, reason) => reason.clone().unwrap_or_default(),
            };
            text += &format!("products        {}: {words}\n", rate.precision);
        }
        text + &format!("memory traffic  {:.1} GB/s\n", self.memory_gb_per_s)
    }
}

fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The first value of a name in a list of `name : value`.
fn member<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = list.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(own, _)| own.trim() == name).map(|(_, value)| value.trim())
}

/// Pairs of package and core, each once; the entries of processors that name none cannot be told apart.
fn cores(processors: &str) -> Option<usize> {
    let entries = processors.split("\n\n");
    let places = entries.filter_map(|entry| member(entry, "physical id").zip(member(entry, "core id")));
    Some(places.collect::<BTreeSet<_>>().len()).filter(|&n| n > 0)
}

/// The matrix unit that the flags of the processor name.
fn matrix_unit(processors: &str) -> Option<&'static str> {
    let flags = member(processors, "flags").or(member(processors, "Features"))?;
    let has = |wanted: &str| flags.split_whitespace().any(|flag| flag == wanted);
    match has("amx_tile") && has("amx_bf16") {
        true => Some("AMX (bf16)"),
        false => has("sme").then_some("SME"),
    }
}

/// A size of /proc/meminfo in bytes.
fn kilobytes(memory: &str, name: &str) -> Option<u64> {
    let number: u64 = member(memory, name)?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two cores of two threads each.
    fn processors() -> String {
        let one = |(thread, core): (u32, u32)| {
            format!(
                "processor\t: {thread}\nmodel name\t: Some CPU @ 2 GHz: fast\nphysical id\t: 0\ncore id\t\t: {core}\nflags\t\t: fpu avx512f amx_bf16 amx_tile\n"
            )
        };
        [(0, 0), (1, 1), (2, 0), (3, 1)].map(one).join("\n")
    }

    #[test]
    fn the_systems_words_are_read() {
        let list = processors();
        assert_eq!(member(&list, "model name"), Some("Some CPU @ 2 GHz: fast"));
        assert_eq!(cores(&list), Some(2));
        assert_eq!(matrix_unit(&list), Some("AMX (bf16)"));
        assert_eq!(matrix_unit(&list.replace("amx_tile", "")), None);
        assert_eq!(cores("processor\t: 0\nFeatures\t: fp asimd sme\n"), None);
        assert_eq!(matrix_unit("processor\t: 0\nFeatures\t: fp asimd sme\n"), Some("SME"));
        let memory = "MemTotal:       1000 kB\nMemFree:  1 kB\n";
        assert_eq!(
            (kilobytes(memory, "MemTotal"), kilobytes(memory, "MemAvailable")),
            (Some(1_024_000), None)
        );
    }

    #[test]
    fn what_is_not_known_is_said() {
        let machine = MachineFound {
            processor: None,
            cores: None,
            hardware_threads: Some(1),
            worker_threads: 2,
            instructions: "x86_64 V3".into(),
            matrix_unit: None,
            matrix_unit_used: false,
            memory_bytes: None,
            memory_available_bytes: None,
            devices_compiled: vec!["cpu".into(), "cuda".into()],
            devices_found: vec!["cpu".into()],
            products: vec![
                ProductRate {
                    precision: "f32".into(),
                    method: Some("by hand".into()),
                    gflops: Some(100.04),
                    reason: None,
                },
                ProductRate {
                    precision: "bf16".into(),
                    method: None,
                    gflops: None,
                    reason: Some("it lacks it".into()),
                },
            ],
            memory_gb_per_s: 20.0,
        };
        let expected = "\
processor       unknown
cores           unknown number of cores, 1 thread; 2 worker threads
instructions    x86_64 V3
matrix unit     none known
memory          unknown, available unknown
compiled for    cpu, cuda
devices         cpu
products        f32: 100.0 GFLOP/s, by hand
products        bf16: it lacks it
memory traffic  20.0 GB/s
";
        assert_eq!(machine.text(), expected);
    }
}
