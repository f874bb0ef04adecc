use super::attention::Attention;
use super::depthwise::Depthwise;
use super::gate::{GatedSum, SoftmaxPool};
use super::gelu::Gelu;
use super::group_norm::{GroupNormSilu, ModulatedGroupNormSilu};
use super::join::Join;
use super::linear_attention::LinearAttention;
use super::shuffle::Shuffle;
use super::waves::Waves;
use super::{AttentionHeads, ImageGrid, pixel_shuffle, pixel_unshuffle};
use crate::arch::testing::on_every_arch;
use crate::device::cpu;
use crate::ops::host::apply;
use crate::ops::matrix;
use crate::ops::tests::{check, host, random};
use crate::ops::with_idle_threads;

const GRID: ImageGrid = ImageGrid { images: 2, height: 4, width: 6 };

#[test]
fn group_norms() {
    let shapes = [[48, 12], [1, 12], [1, 12], [2, 24]];
    let data = random(shapes, 1.5);
    let op = GroupNormSilu { grid: GRID, groups: 3 };
    on_every_arch(|| {
        let [x, gain, bias, _] = data.clone();
        check(&op, [shapes[0], shapes[1], shapes[2]], &[x, gain, bias], 3e-3);
        check(&ModulatedGroupNormSilu(op.clone()), shapes, &data, 3e-3);
    });
}

#[test]
fn attentions() {
    for shared in [true, false] {
        let heads = AttentionHeads { images: 2, heads: 3, width: 5, shared };
        let shapes = [[2 * 7, 15], [2 * 4, if shared { 10 } else { 30 }]];
        on_every_arch(|| check(&Attention(heads), shapes, &random(shapes, 1.0), 3e-3));
    }
    // More queries than a block has rows.
    let heads = AttentionHeads { images: 1, heads: 2, width: 16, shared: true };
    let shapes = [[70, 32], [90, 32]];
    with_idle_threads(|| check(&Attention(heads), shapes, &random(shapes, 1.0), 5e-3));
}

#[test]
fn linear_attentions() {
    let heads = AttentionHeads { images: 2, heads: 3, width: 5, shared: false };
    let shapes = [[2 * 7, 15], [2 * 9, 15], [2 * 9, 15]];
    on_every_arch(|| check(&LinearAttention(heads), shapes, &random(shapes, 1.0), 3e-3));
}

#[test]
fn depthwise_convolutions() {
    for edge in [1, 3, 5] {
        let shapes = [[48, 7], [7, edge * edge]];
        on_every_arch(|| check(&Depthwise { grid: GRID }, shapes, &random(shapes, 1.0), 3e-3));
    }
}

#[test]
fn gates_and_pools() {
    let shapes = [[48, 7], [48, 1]];
    check(&SoftmaxPool { grid: GRID }, shapes, &random(shapes, 1.0), 3e-3);
    let shapes = [[48, 7], [2, 7], [48, 7]];
    check(&GatedSum { grid: GRID }, shapes, &random(shapes, 1.0), 3e-3);
}

#[test]
fn joins_and_shuffles() {
    let shapes = [[9, 4], [9, 3]];
    check(&Join { factor: 0.7 }, shapes, &random(shapes, 1.0), 3e-3);
    let [fine, coarse] = [[48, 3], [12, 12]];
    check(&Shuffle { fine: GRID, to_fine: false }, [fine], &random([fine], 1.0), 3e-3);
    check(&Shuffle { fine: GRID, to_fine: true }, [coarse], &random([coarse], 1.0), 3e-3);
}

#[test]
fn elementwise_functions() {
    let shapes = [[5, 21]];
    on_every_arch(|| check(&Gelu, shapes, &random(shapes, 3.0), 3e-3));
    check(&Waves { numbers: [0.3, -1.1].into() }, [[1, 8]], &random([[1, 8]], 1.0), 1e-2);
}

/// Large arguments are as exact as small ones.
#[test]
fn waves_of_large_numbers_lose_no_digits() {
    let w = matrix(vec![1.25, -0.8], 2, &cpu());
    let found = host(&super::waves(w, &[-74.6637123865]));
    for (k, w) in [1.25f64, f64::from(-0.8f32)].into_iter().enumerate() {
        let argument = 2.0 * std::f64::consts::PI * w * -74.6637123865;
        assert!((f64::from(found[1 + k]) - argument.sin()).abs() < 1e-6);
        assert!((f64::from(found[3 + k]) - argument.cos()).abs() < 1e-6);
    }
}

/// Channel c of row i, column j of a square goes to channel 4 c + 2 i + j.
#[test]
fn the_order_of_shuffled_channels_is_known() {
    let grid = ImageGrid::square(1, 2);
    let x = matrix((0..8u8).map(f32::from).collect(), 2, &cpu());
    // Pixels (0,0), (0,1), (1,0), (1,1) have channels [0, 1], [2, 3], [4, 5], [6, 7].
    let coarse = pixel_unshuffle(x.clone(), grid);
    assert_eq!(host(&coarse), [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0]);
    assert_eq!(host(&pixel_shuffle(coarse, grid.halved())), host(&x));
}

/// Results are those of each image alone.
#[test]
fn images_do_not_see_each_other() {
    let shapes = [[48, 12], [1, 12], [1, 12]];
    let data = random(shapes, 1.5);
    let t = |k: usize| matrix(data[k].clone(), 12, &cpu());
    let both = host(&apply(&GroupNormSilu { grid: GRID, groups: 4 }, [t(0), t(1), t(2)]));
    let one = GroupNormSilu { grid: ImageGrid { images: 1, ..GRID }, groups: 4 };
    let second = t(0).narrow(0, 24, 24);
    assert_eq!(host(&apply(&one, [second, t(1), t(2)])), both[24 * 12..]);
}
