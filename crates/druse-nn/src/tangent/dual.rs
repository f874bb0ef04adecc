//! A quantity and its derivative along one direction.

use std::ops::{Add, Mul, Sub};

use burn::tensor::Tensor;

/// A matrix `y(x)` and its derivative `y' = d/dt y(x + t v)` at t = 0 along a direction v of the inputs x.
///
/// No tangent means that the matrix does not depend on x or that no direction was given: operations on it cost nothing extra.
#[derive(Debug, Clone)]
pub struct Dual {
    /// `y`.
    pub value: Tensor<2>,
    /// `y'`, of the shape of the value; none for zero.
    pub tangent: Option<Tensor<2>>,
}

impl Dual {
    /// A matrix whose derivative is zero.
    pub fn constant(value: Tensor<2>) -> Self {
        Self { value, tangent: None }
    }

    /// A matrix and its derivative.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn new(value: Tensor<2>, tangent: Tensor<2>) -> Self {
        assert_eq!(value.dims(), tangent.dims(), "a tangent has the shape of its value");
        Self { value, tangent: Some(tangent) }
    }

    /// `f(y)` for a linear map f, whose derivative is `f(y')`. The map must be linear: it is not checked.
    pub fn linear(self, f: impl Fn(Tensor<2>) -> Tensor<2>) -> Self {
        Self { tangent: self.tangent.map(&f), value: f(self.value) }
    }

    /// `f(a, b)` for a bilinear map f, whose derivative is `f(a', b) + f(a, b')`. The map must be bilinear: it is not checked.
    pub fn bilinear(a: Self, b: Self, f: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>) -> Self {
        let by_a = a.tangent.map(|t| f(t, b.value.clone()));
        let by_b = b.tangent.map(|t| f(a.value.clone(), t));
        Self { tangent: sum(by_a, by_b), value: f(a.value, b.value) }
    }

    /// `factor · y`.
    pub fn scale(self, factor: f64) -> Self {
        self.linear(|x| x.mul_scalar(factor))
    }
}

/// `a + b` of matrices that may be zero.
fn sum(a: Option<Tensor<2>>, b: Option<Tensor<2>>) -> Option<Tensor<2>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

/// `a + b`, entry by entry, of equal shapes.
impl Add for Dual {
    type Output = Self;

    /// # Panics
    /// When the shapes differ.
    fn add(self, other: Self) -> Self {
        assert_eq!(self.value.dims(), other.value.dims(), "a sum has terms of one shape");
        Self { value: self.value + other.value, tangent: sum(self.tangent, other.tangent) }
    }
}

/// `a - b`, entry by entry, of equal shapes.
impl Sub for Dual {
    type Output = Self;

    /// # Panics
    /// When the shapes differ.
    fn sub(self, other: Self) -> Self {
        assert_eq!(self.value.dims(), other.value.dims(), "a difference has terms of one shape");
        let tangent = sum(self.tangent, other.tangent.map(Tensor::neg));
        Self { value: self.value - other.value, tangent }
    }
}

/// `a b`, entry by entry, with derivative `a' b + a b'`; one row or column is repeated.
impl Mul for Dual {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self::bilinear(self, other, Tensor::mul)
    }
}
