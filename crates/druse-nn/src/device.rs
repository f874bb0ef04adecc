//! Choice of the device that computes.

use burn::backend::DispatchDevice;
use burn::tensor::{Device, DeviceFilter, DeviceType};

/// A device name that cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The text names no kind of device.
    #[error("unknown device `{name}`; this build has: {available}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Device names that would work.
        available: String,
    },
    /// The kind exists but is not compiled into this program.
    #[error("device `{name}` needs a build with `--features {feature}`; this build has: {available}")]
    NotCompiled {
        /// What was asked for.
        name: String,
        /// The cargo feature to build with.
        feature: &'static str,
        /// Device names that would work.
        available: String,
    },
    /// The kind is compiled in, but the machine has no such device.
    #[error("no device `{name}` on this machine; available: {available}")]
    Absent {
        /// What was asked for.
        name: String,
        /// Device names that would work.
        available: String,
    },
}

/// The kinds of device a build can support: name, whether it is compiled in.
const KINDS: [(&str, bool); 6] = [
    ("cpu", true),
    ("cuda", cfg!(feature = "cuda")),
    ("vulkan", cfg!(feature = "vulkan")),
    ("metal", cfg!(feature = "metal")),
    ("rocm", cfg!(feature = "rocm")),
    ("webgpu", cfg!(feature = "webgpu")),
];

/// Whether tensors on this device are ordinary memory of the host, so that hand-written CPU operations apply.
pub fn is_host(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// Values that were computed for devices, for example uploads; at most one of each type a device. A clone starts empty.
#[cfg(feature = "gpu")]
#[derive(Default)]
pub(crate) struct PerDevice(std::sync::Mutex<Vec<(Device, Box<dyn std::any::Any + Send>)>>);

#[cfg(feature = "gpu")]
impl PerDevice {
    /// The value for a device (with or without autodiff: values belong to the device without), made on first use.
    pub fn get<T: Clone + Send + 'static>(&self, device: &Device, make: impl FnOnce(&Device) -> T) -> T {
        let device = device.clone().inner();
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut here = known.iter().filter(|(d, _)| *d == device);
        if let Some(value) = here.find_map(|(_, value)| value.downcast_ref::<T>()) {
            return value.clone();
        }
        let value = make(&device);
        known.push((device, Box::new(value.clone())));
        value
    }
}

#[cfg(feature = "gpu")]
impl Clone for PerDevice {
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[cfg(feature = "gpu")]
impl std::fmt::Debug for PerDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PerDevice")
    }
}

/// Whether the operations' GPU kernels run on this device.
#[cfg(feature = "gpu")]
pub(crate) fn is_gpu(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Cube(_))
}

/// The CPU.
pub fn cpu() -> Device {
    Device::flex()
}

/// The kinds of device that this build can compute on, whether or not the machine has one.
pub fn compiled() -> impl Iterator<Item = &'static str> {
    KINDS.into_iter().filter(|(_, compiled)| *compiled).map(|(kind, _)| kind)
}

/// Names of the devices that [`parse`] would accept on this machine.
pub fn available() -> Vec<String> {
    let mut names = vec!["cpu".to_owned()];
    for (kind, compiled) in KINDS.into_iter().skip(1) {
        if compiled {
            match devices(kind).len() {
                1 => names.push(kind.to_owned()),
                n => names.extend((0..n).map(|i| format!("{kind}:{i}"))),
            }
        }
    }
    names
}

/// The device called `cpu`, `cuda[:n]`, `vulkan[:n]`, `metal`, `rocm[:n]` or `webgpu`.
///
/// # Errors
/// [`DeviceError`], listing the devices that can be used instead.
pub fn parse(name: &str) -> Result<Device, DeviceError> {
    let listing = || available().join(", ");
    let (kind, index) = match name.split_once(':') {
        None => (name, Some(0)),
        Some((kind, index)) => (kind, index.parse::<usize>().ok()),
    };
    let unknown = || DeviceError::Unknown { name: name.to_owned(), available: listing() };
    let index = index.ok_or_else(unknown)?;
    let &(kind, compiled) = KINDS.iter().find(|(k, _)| *k == kind).ok_or_else(unknown)?;
    if !compiled {
        return Err(DeviceError::NotCompiled { name: name.to_owned(), feature: kind, available: listing() });
    }
    devices(kind)
        .into_iter()
        .nth(index)
        .ok_or_else(|| DeviceError::Absent { name: name.to_owned(), available: listing() })
}

/// The devices of one kind on this machine; none when it is not compiled in.
fn devices(kind: &str) -> Vec<Device> {
    let kind: Option<DeviceType> = match kind {
        "cpu" => return vec![cpu()],
        #[cfg(feature = "cuda")]
        "cuda" => Some(DeviceType::Cuda),
        #[cfg(feature = "rocm")]
        "rocm" => Some(DeviceType::Rocm),
        #[cfg(feature = "vulkan")]
        "vulkan" => Some(DeviceType::Vulkan),
        #[cfg(feature = "metal")]
        "metal" => Some(DeviceType::Metal),
        #[cfg(feature = "webgpu")]
        "webgpu" => Some(DeviceType::Wgpu),
        _ => None,
    };
    // A missing driver makes some runtimes panic while they look for devices; that means there are none.
    kind.and_then(|kind| {
        std::panic::catch_unwind(|| Device::enumerate(DeviceFilter::new().with(kind)).into_vec()).ok()
    })
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(parse("cpu").is_ok());
        assert!(matches!(parse("gpu"), Err(DeviceError::Unknown { .. })));
        assert!(matches!(parse("cpu:x"), Err(DeviceError::Unknown { .. })));
        assert!(matches!(parse("cpu:1"), Err(DeviceError::Absent { .. })));
        #[cfg(not(feature = "cuda"))]
        {
            let error = parse("cuda:0").unwrap_err();
            assert!(matches!(&error, DeviceError::NotCompiled { feature: "cuda", .. }));
            assert!(error.to_string().contains("cpu"));
        }
        assert!(is_host(&cpu()) && is_host(&cpu().autodiff()));
        assert!(compiled().next() == Some("cpu") && available()[0] == "cpu");
    }
}
