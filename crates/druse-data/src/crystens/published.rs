//! The published constants of normalization (repository michaeldalverson/CrysTens).

use super::scale::{Scale, Scales};

const fn scale(mean: f64, std: f64, low: f64, high: f64) -> Scale {
    Scale { mean, std, low, high }
}

/// Of `avg-std`.
#[rustfmt::skip]
pub(super) const AVG_STD: Scales = Scales {
    attributes: [
        scale(27.503517675002012, 22.417031299395962, 1.1822938247722463, 3.189382276810422),
        scale(0.4252026276473906, 0.2934632568241515, 1.4489126586030487, 1.9586462438477188),
        scale(0.43638668432502076, 0.291906737713482, 1.4949524212536385, 1.9307764302498376),
        scale(0.4442944632355303, 0.2930835040637591, 1.515931320170363, 1.8960314349305054),
        scale(7.576401996204324, 2.9769371381202365, 1.9530147015047585, 11.78647595694663),
        scale(7.90142069082381, 3.559553637232651, 1.724660257008108, 10.47366695621996),
        scale(9.930851747522944, 6.749988198167417, 1.150054121521355, 15.742864303277916),
        scale(89.9627072033887, 3.1373304207017987, 9.624649990367965, 9.574156613663968),
        scale(93.78688773759445, 9.618284407608558, 3.543759603389515, 4.640756123524075),
        scale(95.65975023932918, 12.237549174937287, 3.0022964332249518, 1.9889807520054794),
        scale(99.50188767306616, 76.65640490497339, 1.284979223786628, 1.7023771528120184),
    ],
    difference: scale(-4.058145803781749e-20, 0.4099350434569409, 2.4393946048146806, 2.4393946048146806),
    distance: scale(0.6693464353927602, 0.236887249528413, 2.73534326062805, 4.159475792980244),
};

/// Of `divide-near-max`. (Another published file shifts differences by 0.9999933.)
pub(super) const DIVIDE_NEAR_MAX: Scales = Scales {
    attributes: [
        Scale::shifted(0.0, 83.0),
        Scale::shifted(0.0, 0.979),
        Scale::shifted(0.0, 0.9813),
        Scale::shifted(0.0, 0.9782),
        Scale::shifted(0.0, 19.866),
        Scale::shifted(0.0, 26.43),
        Scale::shifted(0.0, 42.5),
        Scale::shifted(0.0, 107.69),
        Scale::shifted(0.0, 131.3),
        Scale::shifted(0.0, 120.0),
        Scale::shifted(0.0, 227.0),
    ],
    difference: Scale::shifted(0.99999, 0.89146),
    distance: Scale::shifted(0.0, 1.2779113271271993),
};
