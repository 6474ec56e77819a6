//! Every family of kernels against the definition, in both precisions and by both algorithms.

use super::{Case, DIRECT};
use crate::{ConvAlgorithm, ConvGeometry, testing::families};

fn geometry(kernel: (usize, usize), stride: (usize, usize), padding: (usize, usize)) -> ConvGeometry {
    ConvGeometry { kernel, stride, padding }
}

#[test]
fn every_family_agrees_with_the_definition_at_odd_sizes() {
    let cases = [
        ([5, 7, 9, 3], 5, ConvGeometry::square(3, 1, 1)),
        ([5, 7, 9, 5], 17, ConvGeometry::square(3, 2, 1)),
        ([5, 7, 9, 17], 3, ConvGeometry::square(3, 3, 0)),
        ([5, 7, 9, 17], 33, ConvGeometry::square(1, 1, 0)),
        ([5, 7, 9, 5], 8, ConvGeometry::square(1, 2, 0)),
        ([5, 7, 9, 3], 17, ConvGeometry::square(5, 1, 2)),
        ([5, 7, 9, 3], 5, ConvGeometry::square(7, 2, 3)),
        ([5, 7, 9, 3], 5, ConvGeometry::square(1, 3, 2)),
        ([1, 1, 1, 1], 1, ConvGeometry::square(1, 1, 0)),
        ([1, 7, 9, 3], 2, geometry((7, 9), (1, 1), (0, 0))),
        ([2, 7, 9, 3], 4, geometry((3, 5), (2, 1), (0, 2))),
        ([3, 4, 4, 2], 3, ConvGeometry::square(3, 1, 3)),
        ([3, 5, 5, 2], 3, ConvGeometry::square(2, 2, 0)),
    ];
    for family in families() {
        for (shape, n_out, geometry) in cases {
            Case::new(shape, n_out, geometry).check(family);
        }
    }
}

/// The first layers of a ResNet and of a ViT.
#[test]
fn stems_take_images_of_any_channels() {
    for n_channels in [1, 2, 4, 5, 8, 13, 16] {
        for geometry in [
            ConvGeometry::square(7, 2, 3),
            ConvGeometry::square(3, 1, 1),
            ConvGeometry::square(3, 2, 1),
            ConvGeometry::square(4, 4, 0),
        ] {
            let case = || Case::new([17, 8, 12, n_channels], 6, geometry);
            for family in families() {
                case().check_by(family, ConvAlgorithm::Auto);
                case().rounded().check_in_bf16(family, ConvAlgorithm::Auto);
            }
        }
    }
}

/// Of ResNeXt, of as many groups as channels, and of numbers that fill nothing.
#[test]
fn groups_of_channels_agree_with_the_definition() {
    let cases = [
        ([5, 7, 9, 64], 64, ConvGeometry::square(3, 1, 1), 16),
        ([17, 7, 6, 64], 64, ConvGeometry::square(3, 2, 1), 8),
        ([5, 7, 9, 6], 9, ConvGeometry::square(3, 1, 1), 3),
        ([5, 7, 9, 13], 13, ConvGeometry::square(3, 2, 1), 13),
        ([3, 9, 9, 5], 10, ConvGeometry::square(7, 1, 3), 5),
        ([5, 7, 9, 8], 20, ConvGeometry::square(1, 2, 0), 4),
        ([2, 7, 9, 6], 4, geometry((3, 5), (2, 1), (0, 2)), 2),
        ([3, 5, 5, 4], 6, ConvGeometry::square(2, 2, 0), 2),
    ];
    for family in families() {
        for (shape, n_out, geometry, groups) in cases {
            let case = || Case::in_groups(shape, n_out, geometry, groups);
            case().check(family);
            case().rounded().check_in_bf16(family, DIRECT);
        }
    }
}

#[test]
fn batches_that_do_not_fill_their_last_block_agree_with_the_definition() {
    for n in [15, 16, 17, 37] {
        for family in families() {
            Case::new([n, 4, 5, 5], 9, ConvGeometry::square(3, 1, 1)).check(family);
            Case::new([n, 5, 4, 3], 19, ConvGeometry::square(3, 2, 1)).check(family);
        }
    }
}

#[test]
fn wide_layers_agree_with_the_definition() {
    for family in families() {
        Case::new([3, 3, 3, 70], 150, ConvGeometry::square(3, 1, 1)).check(family);
        Case::new([17, 2, 2, 40], 130, ConvGeometry::square(3, 2, 1)).check(family);
    }
}

#[test]
fn winograd_agrees_with_the_definition() {
    let same = ConvGeometry::square(3, 1, 1);
    let cases = [
        ([5, 8, 8, 16], 16, same),
        ([17, 4, 4, 8], 24, same),
        ([33, 7, 9, 5], 3, same),
        ([2, 1, 1, 1], 1, same),
        ([3, 5, 6, 70], 33, ConvGeometry::square(3, 1, 0)),
        ([3, 6, 5, 17], 9, ConvGeometry::square(3, 1, 2)),
        ([2, 6, 9, 4], 4, geometry((3, 3), (1, 1), (0, 2))),
        // Wider than one strip of channels, and than what every task reads.
        ([19, 4, 4, 150], 140, same),
        ([35, 7, 7, 130], 150, same),
    ];
    for family in families() {
        for (shape, n_out, geometry) in cases {
            Case::new(shape, n_out, geometry).check_by(family, ConvAlgorithm::Winograd);
        }
    }
}

#[test]
fn bfloat16_agrees_with_the_definition_at_odd_sizes() {
    let same = ConvGeometry::square(3, 1, 1);
    let cases = [
        ([5, 7, 9, 6], 5, same),
        ([5, 7, 9, 6], 34, ConvGeometry::square(3, 2, 1)),
        ([18, 5, 4, 3], 33, ConvGeometry::square(3, 2, 1)),
        ([5, 7, 9, 18], 34, ConvGeometry::square(1, 1, 0)),
        ([17, 7, 9, 6], 8, ConvGeometry::square(1, 2, 0)),
        ([5, 7, 9, 3], 4, ConvGeometry::square(7, 2, 3)),
        ([3, 5, 5, 3], 3, ConvGeometry::square(2, 2, 0)),
    ];
    for family in families() {
        for (shape, n_out, geometry) in cases {
            Case::new(shape, n_out, geometry).rounded().check_in_bf16(family, DIRECT);
        }
    }
}

#[test]
fn winograd_in_bfloat16_agrees_with_the_definition() {
    let same = ConvGeometry::square(3, 1, 1);
    let cases = [
        ([5, 8, 8, 16], 16, same),
        ([17, 4, 4, 32], 48, same),
        ([3, 5, 6, 48], 32, ConvGeometry::square(3, 1, 0)),
        ([3, 6, 5, 16], 16, ConvGeometry::square(3, 1, 2)),
        ([2, 6, 9, 16], 16, geometry((3, 3), (1, 1), (0, 2))),
        ([1, 1, 1, 16], 16, same),
        // Wider than one strip of channels.
        ([19, 4, 4, 160], 144, same),
        ([35, 7, 7, 128], 160, same),
    ];
    for family in families() {
        for (shape, n_out, geometry) in cases {
            Case::new(shape, n_out, geometry).rounded().check_in_bf16(family, ConvAlgorithm::Winograd);
        }
    }
}
