//! Named tensors of a model. Networks are functions of a [`Params`] and their inputs: the training values, their moving
//! average and a loaded checkpoint are used by the same network object, and a weight file is one loop over names.
//!
//! Most tensors are trainable. Others are frozen (stored, never moved), and buffers are state that forward passes in
//! training mode update: running statistics, vectors of a power iteration. A pass cannot change the values it reads,
//! because several run side by side on shared ones; it notes the updates in its own copy ([`Params::in_training`]),
//! and whoever drives it applies them in an order of its choice ([`Params::apply_updates`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::{DispatchDevice, Flex};
use burn::tensor::{Device, Tensor, TensorData};

use crate::init::Init;
use crate::precision::{Precision, PrecisionError, with_precision};

/// What training does with a tensor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// An optimizer moves it along its gradient, and it has a moving average.
    #[default]
    Trainable,
    /// It is stored with the others and never moved.
    Frozen,
    /// Forward passes in training mode update it; it has no gradient, and the average holds its latest value.
    Buffer,
}

/// Name, shape and initialization of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamSpec {
    /// Dotted path, unique within the model.
    pub name: String,
    /// Shape as weight files store it; linear weights are (out, in), row-major.
    pub shape: Vec<usize>,
    /// How a fresh model fills it.
    pub init: Init,
    /// What training does with it.
    pub role: Role,
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
    /// Registers a trainable tensor.
    ///
    /// # Panics
    /// When the name is already taken: two layers would silently share weights.
    pub fn add(&mut self, name: impl Into<String>, shape: &[usize], init: Init) -> ParamId {
        self.add_as(Role::Trainable, name, shape, init)
    }

    /// Registers a tensor that training never moves.
    ///
    /// # Panics
    /// As [`ParamBuilder::add`].
    pub fn frozen(&mut self, name: impl Into<String>, shape: &[usize], init: Init) -> ParamId {
        self.add_as(Role::Frozen, name, shape, init)
    }

    /// Registers state that forward passes update ([`Params::note_update`]).
    ///
    /// # Panics
    /// As [`ParamBuilder::add`].
    pub fn buffer(&mut self, name: impl Into<String>, shape: &[usize], init: Init) -> ParamId {
        self.add_as(Role::Buffer, name, shape, init)
    }

    fn add_as(&mut self, role: Role, name: impl Into<String>, shape: &[usize], init: Init) -> ParamId {
        let name = name.into();
        let id = ParamId(self.specs.len());
        let taken = self.by_name.insert(name.clone(), id);
        assert!(taken.is_none(), "parameter {name} is registered twice");
        self.specs.push(ParamSpec { name, shape: shape.to_vec(), init, role });
        id
    }

    /// The collected specifications, in order of registration.
    pub fn finish(self) -> Vec<ParamSpec> {
        self.specs
    }
}

/// Some of the trainable tensors of a model: those that an optimizer moves together. Cloning shares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamGroup(Arc<[usize]>);

impl ParamGroup {
    /// All trainable tensors.
    pub fn trainable(specs: &[ParamSpec]) -> Self {
        Self::of(specs, |_| true)
    }

    /// The trainable tensors whose name `belongs`.
    pub fn of(specs: &[ParamSpec], belongs: impl Fn(&str) -> bool) -> Self {
        let chosen = |s: &ParamSpec| s.role == Role::Trainable && belongs(&s.name);
        Self(specs.iter().enumerate().filter(|(_, s)| chosen(s)).map(|(i, _)| i).collect())
    }

    /// Their positions in the order of the specifications, rising.
    pub fn indices(&self) -> &[usize] {
        &self.0
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// How a buffer changes.
#[derive(Debug, Clone)]
pub enum BufferUpdate {
    /// It takes the value.
    Set(Tensor<2>),
    /// It moves towards the value: `buffer ← (1 - momentum) · buffer + momentum · value`.
    Average {
        /// Weight of the value, 0 to 1.
        momentum: f64,
        /// The value, of the buffer's matrix shape.
        value: Tensor<2>,
    },
}

/// Updates of buffers, in the order in which they are to be made.
#[derive(Debug, Clone, Default)]
pub struct BufferUpdates(Vec<(ParamId, BufferUpdate)>);

impl BufferUpdates {
    /// Appends those of a later pass.
    pub fn extend(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    /// Number of updates.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The updates as positions of tensors and what they come to, in order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &BufferUpdate)> {
        self.0.iter().map(|(ParamId(i), update)| (*i, update))
    }

    /// Updates of the tensors at these positions, in order; `None` when the parameters have no such tensor, it is frozen, or a
    /// value is not of its matrix shape.
    pub fn collect(
        updates: impl IntoIterator<Item = (usize, BufferUpdate)>,
        params: &Params,
    ) -> Option<Self> {
        let checked = |(i, update): (usize, BufferUpdate)| {
            let spec = params.specs().get(i).filter(|spec| spec.role != Role::Frozen)?;
            let (BufferUpdate::Set(value) | BufferUpdate::Average { value, .. }) = &update;
            (value.dims() == spec.matrix_shape()).then_some((ParamId(i), update))
        };
        updates.into_iter().map(checked).collect::<Option<_>>().map(Self)
    }
}

/// The parameter that something is kept under, and which of those that are.
type DerivedKey = (usize, [usize; 2]);

/// Tensors that were computed from parameters.
#[derive(Clone, Default)]
struct Derived(Arc<Mutex<HashMap<DerivedKey, Tensor<2>>>>);

impl Derived {
    fn get_or_make(&self, key: DerivedKey, make: impl FnOnce() -> Tensor<2>) -> Tensor<2> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known().get(&key) {
            return value.clone();
        }
        // Not under the lock: other threads compute the same rather than wait, and the first result stays.
        let value = make();
        known().entry(key).or_insert(value).clone()
    }
}

/// The tensor with its rows one behind the other in memory, where that is the host's and nothing is recorded. A part of
/// another tensor is copied by every operation that reads it, and packed for every product.
fn in_rows(t: Tensor<2>) -> Tensor<2> {
    if !matches!(t.device().as_dispatch(), DispatchDevice::Flex(_)) {
        return t;
    }
    let t = t.try_into_primitive::<Flex>().expect("a host tensor without autodiff is a flex tensor");
    Tensor::from_primitive::<Flex>(if t.is_contiguous() { t } else { t.to_contiguous() })
}

/// The values of all parameters of a model on one device. Cloning shares the tensors.
#[derive(Clone)]
pub struct Params {
    specs: Arc<[ParamSpec]>,
    values: Vec<Tensor<2>>,
    device: Device,
    precision: Precision,
    /// What [`Params::gradients`] differentiates by.
    group: ParamGroup,
    /// Where forward passes note updates of buffers; absent in evaluation.
    updates: Option<Arc<Mutex<BufferUpdates>>>,
    /// What was computed from these values alone. Whoever changes a value begins another one: clones share it.
    derived: Derived,
}

impl Params {
    /// Puts host values (one row-major vector per specification, in order) on a device.
    ///
    /// # Panics
    /// When counts or sizes disagree; weight files are checked before they come here.
    pub fn from_host(specs: &[ParamSpec], values: &[Vec<f32>], device: &Device) -> Self {
        Self::from_vecs(specs, values.to_vec(), device)
    }

    /// [`Params::from_host`] of values that nobody else needs: on the CPU they stay where they are.
    ///
    /// # Panics
    /// As [`Params::from_host`].
    pub fn from_vecs(specs: &[ParamSpec], values: Vec<Vec<f32>>, device: &Device) -> Self {
        assert_eq!(specs.len(), values.len(), "one vector per parameter");
        let tensors = specs
            .iter()
            .zip(values)
            .map(|(spec, v)| {
                assert_eq!(spec.len(), v.len(), "size of {}", spec.name);
                Tensor::from_data(TensorData::new(v, spec.matrix_shape()), device)
            })
            .collect();
        Self {
            specs: specs.into(),
            values: tensors,
            device: device.clone(),
            precision: Precision::default(),
            group: ParamGroup::trainable(specs),
            updates: None,
            derived: Derived::default(),
        }
    }

    /// A freshly initialized set; the seed alone determines it.
    pub fn init(specs: &[ParamSpec], seed: u64, device: &Device) -> Self {
        let values: Vec<_> = specs.iter().map(|s| s.init.sample(&s.shape, seed, &s.name)).collect();
        Self::from_vecs(specs, values, device)
    }

    /// The values, to be replaced by others of equal shapes.
    pub(crate) fn values_mut(&mut self) -> &mut Vec<Tensor<2>> {
        self.derived = Derived::default();
        &mut self.values
    }

    /// Copies of the values that record operations for a backward pass by all trainable tensors. Every call starts a
    /// graph of its own, so several threads can differentiate side by side.
    pub fn tracked(&self) -> Self {
        self.tracked_by(&self.group)
    }

    /// [`Params::tracked`] by the tensors of a group alone: all others are constants.
    pub fn tracked_by(&self, group: &ParamGroup) -> Self {
        let mut values: Vec<Tensor<2>> = self.values.iter().cloned().map(Tensor::from_inner).collect();
        for &i in group.indices() {
            values[i] = values[i].clone().require_grad();
        }
        let device = self.device.clone().autodiff();
        Self { values, device, group: group.clone(), derived: Derived::default(), ..self.clone() }
    }

    /// Replaces some values by those of the host, row-major: pairs of a tensor's position and its numbers. Gives the position of
    /// the first that the parameters do not have, or that has other sizes.
    ///
    /// # Errors
    /// The position; the values before it are replaced.
    pub fn replace(&mut self, values: impl IntoIterator<Item = (usize, Vec<f32>)>) -> Result<(), usize> {
        self.derived = Derived::default();
        for (i, numbers) in values {
            let spec = self.specs.get(i).filter(|spec| spec.len() == numbers.len()).ok_or(i)?;
            let data = TensorData::new(numbers, spec.matrix_shape());
            self.values[i] = Tensor::from_data(data, &self.device);
        }
        Ok(())
    }

    /// The same parameters with other values of equal shapes, also of another type of numbers: in double precision the
    /// compositions of the operations run.
    ///
    /// # Panics
    /// When a shape differs.
    pub fn with_values(self, values: Vec<Tensor<2>>) -> Self {
        let shapes: Vec<_> = values.iter().map(Tensor::dims).collect();
        let expected: Vec<_> = self.specs.iter().map(ParamSpec::matrix_shape).collect();
        assert_eq!(shapes, expected, "one matrix of its shape per parameter");
        Self { values, derived: Derived::default(), ..self }
    }

    /// The same values without a record of operations, in the same mode.
    pub fn untracked(&self) -> Self {
        if !self.device.is_autodiff() {
            return self.clone();
        }
        let values = self.values.iter().cloned().map(Tensor::inner).collect();
        let device = self.device.clone().inner();
        Self { values, device, derived: Derived::default(), ..self.clone() }
    }

    /// The same parameters in training mode: layers use the statistics of the batch, and note how their buffers change,
    /// for this copy and its clones alone.
    pub fn in_training(self) -> Self {
        Self { updates: Some(Arc::default()), ..self }
    }

    /// Whether a forward pass belongs to training (batch normalization then uses the statistics of the batch).
    pub fn is_training(&self) -> bool {
        self.updates.is_some()
    }

    /// Notes how a buffer changes after this pass; of no effect in evaluation mode. Values are cut from the graph of a
    /// backward pass.
    ///
    /// # Panics
    /// When the tensor is no buffer: something else would overwrite what an optimizer moves.
    pub fn note_update(&self, buffer: ParamId, update: BufferUpdate) {
        let spec = &self.specs[buffer.0];
        assert_eq!(spec.role, Role::Buffer, "{} is no buffer", spec.name);
        self.note(buffer, update);
    }

    fn note(&self, tensor: ParamId, update: BufferUpdate) {
        let Some(updates) = &self.updates else { return };
        let plain = |t: Tensor<2>| if self.device.is_autodiff() { t.inner() } else { t };
        let update = match update {
            BufferUpdate::Set(value) => BufferUpdate::Set(plain(value)),
            BufferUpdate::Average { momentum, value } => {
                BufferUpdate::Average { momentum, value: plain(value) }
            }
        };
        updates.lock().unwrap_or_else(PoisonError::into_inner).0.push((tensor, update));
    }

    /// Notes what a trainable tensor becomes by this pass, before an optimizer moves it: some layers rescale their weight
    /// whenever they are used. All passes of a step begin with the same values, so each notes the same. Of no effect in
    /// evaluation mode.
    ///
    /// # Panics
    /// When the tensor is not trainable.
    pub fn note_rewrite(&self, tensor: ParamId, value: Tensor<2>) {
        let spec = &self.specs[tensor.0];
        assert_eq!(spec.role, Role::Trainable, "{} is not trainable", spec.name);
        self.note(tensor, BufferUpdate::Set(value));
    }

    /// Rewrites trainable tensors as forward passes have noted ([`Params::note_rewrite`]), which is to be done before an
    /// optimizer moves them, and takes these out of the list.
    pub fn apply_rewrites(&mut self, updates: &mut BufferUpdates) {
        let trainable =
            |&mut (ParamId(i), _): &mut (ParamId, BufferUpdate)| self.specs[i].role == Role::Trainable;
        let rewrites = updates.0.extract_if(.., trainable).collect();
        self.apply_updates(BufferUpdates(rewrites));
    }

    /// The updates that were noted, in the order of the passes; they are no longer noted afterwards.
    pub fn take_updates(&self) -> BufferUpdates {
        let Some(updates) = &self.updates else { return BufferUpdates::default() };
        std::mem::take(&mut *updates.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes buffers, one update after the other.
    pub fn apply_updates(&mut self, updates: BufferUpdates) {
        if !updates.is_empty() {
            self.derived = Derived::default();
        }
        for (ParamId(i), update) in updates.0 {
            self.values[i] = match update {
                BufferUpdate::Set(value) => value,
                BufferUpdate::Average { momentum, value } => {
                    self.values[i].clone().mul_scalar(1.0 - momentum) + value.mul_scalar(momentum)
                }
            };
        }
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

    /// Differentiates a loss computed from [`Params::tracked`] values by those that are tracked, in their order;
    /// parameters it does not depend on get zeros.
    pub fn gradients(&self, loss: &Tensor<1>) -> Vec<Tensor<2>> {
        let mut grads = loss.backward();
        let device = self.device.clone().inner();
        self.group
            .indices()
            .iter()
            .map(|&i| &self.values[i])
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

    /// What `make` computes from the values of some parameters, and from nothing else: computed once, as long as the values
    /// stay what they are, and then shared, so that it is packed for products only once, too. While operations are recorded
    /// for a backward pass it is computed each time.
    ///
    /// The result is kept under a parameter and two numbers, which tell apart what is derived from the same one.
    pub fn derived(&self, of: ParamId, which: [usize; 2], make: impl FnOnce() -> Tensor<2>) -> Tensor<2> {
        if self.device.is_autodiff() {
            return make();
        }
        self.derived.get_or_make((of.0, which), make)
    }

    /// Columns `start..start + len` of a parameter, [`Params::derived`] from it.
    ///
    /// # Panics
    /// When it has fewer columns.
    pub fn columns(&self, of: ParamId, start: usize, len: usize) -> Tensor<2> {
        self.derived(of, [start, len], || in_rows(self.get(of).narrow(1, start, len)))
    }

    /// All values, in the order of the specifications.
    pub fn values(&self) -> &[Tensor<2>] {
        &self.values
    }

    /// The trainable tensors, or those that [`Params::tracked_by`] tracks.
    pub fn group(&self) -> &ParamGroup {
        &self.group
    }

    /// Names, shapes, initializers and roles.
    pub fn specs(&self) -> &[ParamSpec] {
        &self.specs
    }

    /// The device the values live on; networks put their inputs there.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Total number of trainable numbers.
    pub fn count(&self) -> usize {
        self.specs.iter().filter(|s| s.role == Role::Trainable).map(ParamSpec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::device::cpu;

    fn numbers(t: Tensor<2>) -> Vec<f32> {
        t.to_data().try_into_vec().unwrap()
    }

    #[test]
    fn what_is_derived_is_computed_once_and_follows_the_values() {
        let mut builder = ParamBuilder::default();
        let weight = builder.add("weight", &[2, 3], Init::Zeros);
        let specs = builder.finish();
        let mut params = Params::from_vecs(&specs, vec![vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]], &cpu());
        let computed = Cell::new(0);
        let doubled = |params: &Params| {
            numbers(params.derived(weight, [0, 0], || {
                computed.set(computed.get() + 1);
                params.get(weight).mul_scalar(2.0)
            }))
        };
        let before = params.clone();
        for params in [&params, &before, &params] {
            assert_eq!(doubled(params), [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
            assert_eq!(numbers(params.columns(weight, 1, 2)), [2.0, 3.0, 5.0, 6.0]);
            assert_eq!(numbers(params.columns(weight, 0, 3)), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        }
        assert_eq!(computed.get(), 1);
        params.replace([(0, vec![-1.0; 6])]).unwrap();
        assert_eq!(doubled(&params), [-2.0; 6]);
        assert_eq!(numbers(params.columns(weight, 1, 2)), [-1.0; 4]);
        assert_eq!(doubled(&before), [2.0, 4.0, 6.0, 8.0, 10.0, 12.0], "a copy keeps its values");
        assert_eq!(computed.get(), 2);

        // While operations are recorded nothing is kept, and gradients reach the parameter.
        let tracked = params.tracked();
        assert_eq!(doubled(&tracked), doubled(&tracked));
        assert_eq!(computed.get(), 4);
        let loss = tracked.derived(weight, [0, 0], || tracked.get(weight).mul_scalar(2.0)).sum()
            + tracked.columns(weight, 2, 1).sum();
        let [gradient] = <[Tensor<2>; 1]>::try_from(tracked.gradients(&loss)).unwrap();
        assert_eq!(numbers(gradient), [2.0, 2.0, 3.0, 2.0, 2.0, 3.0]);
        assert_eq!(doubled(&tracked.untracked()), [-2.0; 6]);
    }
}
