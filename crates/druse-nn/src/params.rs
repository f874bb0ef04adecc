//! Named trainable tensors. Networks are functions of a [`Params`] and their inputs: the training values, their moving
//! average and a loaded checkpoint are used by the same network object, and a weight file is one loop over names.

use std::collections::HashMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use crate::init::Init;
use crate::precision::{Precision, PrecisionError, with_precision};

/// Name, shape and initialisation of one trainable tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamSpec {
    /// Dotted path, unique within the model.
    pub name: String,
    /// Shape as weight files store it; linear weights are (out, in), row-major.
    pub shape: Vec<usize>,
    /// How a fresh model fills it.
    pub init: Init,
}

impl ParamSpec {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor has no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape as a matrix: first dimension by all others (a vector becomes one row).
    pub fn matrix_shape(&self) -> [usize; 2] {
        match self.shape.as_slice() {
            [n] => [1, *n],
            [first, rest @ ..] => [*first, rest.iter().product()],
            [] => [1, 1],
        }
    }
}

/// Position of a tensor in its [`Params`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamId(usize);

/// Collects the parameters of a network while it is built.
#[derive(Debug, Default)]
pub struct ParamBuilder {
    specs: Vec<ParamSpec>,
    by_name: HashMap<String, ParamId>,
}

impl ParamBuilder {
    /// Registers a tensor.
    ///
    /// # Panics
    /// When the name is already taken: two layers would silently share weights.
    pub fn add(&mut self, name: impl Into<String>, shape: &[usize], init: Init) -> ParamId {
        let name = name.into();
        let id = ParamId(self.specs.len());
        let taken = self.by_name.insert(name.clone(), id);
        assert!(taken.is_none(), "parameter {name} is registered twice");
        self.specs.push(ParamSpec { name, shape: shape.to_vec(), init });
        id
    }

    /// The collected specifications, in order of registration.
    pub fn finish(self) -> Vec<ParamSpec> {
        self.specs
    }
}

/// The values of all parameters of a model on one device. Cloning shares the tensors.
#[derive(Clone)]
pub struct Params {
    specs: Arc<[ParamSpec]>,
    values: Vec<Tensor<2>>,
    device: Device,
    precision: Precision,
}

impl Params {
    /// Puts host values (one row-major vector per specification, in order) on a device.
    ///
    /// # Panics
    /// When counts or sizes disagree; weight files are checked before they come here.
    pub fn from_host(specs: &[ParamSpec], values: &[Vec<f32>], device: &Device) -> Self {
        assert_eq!(specs.len(), values.len(), "one vector per parameter");
        let tensors = specs
            .iter()
            .zip(values)
            .map(|(spec, v)| {
                assert_eq!(spec.len(), v.len(), "size of {}", spec.name);
                Tensor::from_data(TensorData::new(v.clone(), spec.matrix_shape()), device)
            })
            .collect();
        let precision = Precision::default();
        Self { specs: specs.into(), values: tensors, device: device.clone(), precision }
    }

    /// A freshly initialised set; the seed alone determines it.
    pub fn init(specs: &[ParamSpec], seed: u64, device: &Device) -> Self {
        let values: Vec<_> = specs.iter().map(|s| s.init.sample(&s.shape, seed, &s.name)).collect();
        Self::from_host(specs, &values, device)
    }

    /// The values, to be replaced by others of equal shapes.
    pub(crate) fn values_mut(&mut self) -> &mut Vec<Tensor<2>> {
        &mut self.values
    }

    /// Copies of the values that record operations for a backward pass. Every call starts a graph of its own, so
    /// several threads can differentiate side by side.
    pub fn tracked(&self) -> Self {
        let values = self.values.iter().map(|v| Tensor::from_inner(v.clone()).require_grad()).collect();
        let device = self.device.clone().autodiff();
        Self { specs: self.specs.clone(), values, device, precision: self.precision }
    }

    /// The same parameters, for products of another precision.
    ///
    /// # Errors
    /// [`PrecisionError`] when the device cannot compute in it.
    pub fn with_precision(self, precision: Precision) -> Result<Self, PrecisionError> {
        precision.check(&self.device)?;
        Ok(Self { precision, ..self })
    }

    /// Precision of products.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Runs `work` with products of the precision of these parameters: every use of a network belongs in here. The
    /// parameters themselves are 32-bit floats in any case.
    pub fn scope<T>(&self, work: impl FnOnce() -> T) -> T {
        with_precision(self.precision, work)
    }

    /// Differentiates a loss computed from [`Params::tracked`] values; parameters it does not depend on get zeros.
    pub fn gradients(&self, loss: &Tensor<1>) -> Vec<Tensor<2>> {
        let mut grads = loss.backward();
        let device = self.device.clone().inner();
        self.values
            .iter()
            .map(|v| v.grad_remove(&mut grads).unwrap_or_else(|| Tensor::zeros(v.dims(), &device)))
            .collect()
    }

    /// Copies all values to the host, row-major, in the order of the specifications.
    pub fn to_host(&self) -> Vec<Vec<f32>> {
        self.values
            .iter()
            .map(|t| t.to_data().try_into_vec::<f32>().expect("parameters are 32-bit floats"))
            .collect()
    }

    /// Value of one parameter as a matrix (see [`ParamSpec::matrix_shape`]).
    pub fn get(&self, id: ParamId) -> Tensor<2> {
        self.values[id.0].clone()
    }

    /// All values, in the order of the specifications.
    pub fn values(&self) -> &[Tensor<2>] {
        &self.values
    }

    /// Names, shapes and initialisers.
    pub fn specs(&self) -> &[ParamSpec] {
        &self.specs
    }

    /// The device the values live on; networks put their inputs there.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Total number of trainable numbers.
    pub fn count(&self) -> usize {
        self.specs.iter().map(ParamSpec::len).sum()
    }
}
