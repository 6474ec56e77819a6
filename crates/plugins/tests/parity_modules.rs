//! Steps of MoCo v1 and v2, and the encoder of v3, against the reference's own numbers, with the real plugins and without
//! the engine.
//!
//! The numbers are those of facebookresearch/moco and moco-v3 in float64 on small networks of torchvision and timm. A group of values is right if
//! its error, `|ours - theirs| / |theirs|` over all values together, is at most 1e-4 or ten times that of PyTorch's own
//! float32 run, whichever is more.

use plugins as _;

mod golden;
mod moco;
mod vit;

use golden::Golden;
use tensor_ops::kernel_family;

#[test]
fn moco_v1_with_a_cifar_resnet18_matches_the_reference() {
    check("moco_v1_resnet18_w8");
}

#[test]
fn moco_v2_with_a_cifar_resnet18_matches_the_reference() {
    check("moco_v2_resnet18_w8");
}

#[test]
fn moco_v2_with_an_imagenet_resnet50_matches_the_reference() {
    // As plain Rust rounds, the input of one ReLU falls on the other side of 0 (behind layer4.0, channel 217), and the
    // gradients of all that comes before it with it.
    if kernel_family() != "portable" {
        check("moco_v2_resnet50_w8");
    }
}

#[test]
fn a_vit_with_its_projector_evaluates_as_the_reference() {
    for file in ["moco_v3_vit_adamw", "moco_v3_vit_convstem_adamw"] {
        match Golden::open(file) {
            Some(golden) => vit::check_evaluation(&golden),
            None => golden::say_skipped(file),
        }
    }
}

fn check(file: &str) {
    match Golden::open(file) {
        Some(golden) => moco::check_run(&golden),
        None => golden::say_skipped(file),
    }
}
