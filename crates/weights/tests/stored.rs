//! Files that PyTorch, torchvision and timm have made: `tests/python/round_trip.py store` writes them anew.

use std::path::PathBuf;

use run_store::checkpoint::Stored;
use weights::{Architecture, Block, ResNet, ResNetStem, Shape, Target, Tensors, Vit, VitStem};

fn stored(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/stored").join(name)
}

/// Names and shapes, one a line, as a program's `state_dict` has them.
fn layout(name: &str) -> Vec<(String, Shape)> {
    let line = |line: &str| {
        let (name, shape) = line.split_once(' ').unwrap();
        let shape = match shape {
            "-" => Shape::Count,
            lengths => Shape::Floats(lengths.split('x').map(|length| length.parse().unwrap()).collect()),
        };
        (name.to_owned(), shape)
    };
    std::fs::read_to_string(stored(name)).unwrap().lines().map(line).collect()
}

fn resnet(block: Block, blocks: [usize; 4]) -> Architecture {
    Architecture::ResNet(ResNet {
        block,
        blocks,
        width: 64,
        stem: ResNetStem::ImageNet,
        width_per_group: 64,
        groups: 1,
        channels: 3,
    })
}

fn resnext50() -> Architecture {
    let Architecture::ResNet(of) = resnet(Block::Bottleneck, [3, 4, 6, 3]) else { panic!("it is a ResNet") };
    Architecture::ResNet(ResNet { groups: 32, width_per_group: 4, ..of })
}

fn vit_small() -> Architecture {
    Architecture::Vit(Vit {
        patch: 16,
        dim: 384,
        depth: 12,
        heads: Some(12),
        hidden: 1536,
        class_token: true,
        positions: Some(197),
        norm: true,
        stem: VitStem::Patch,
        layer_scale: false,
        registers: 0,
        channels: 3,
    })
}

#[test]
fn layouts_are_those_of_torchvision_and_timm_in_their_order() {
    assert_eq!(weights::layout(&resnet(Block::Basic, [2, 2, 2, 2])), layout("torchvision_resnet18.txt"));
    assert_eq!(weights::layout(&resnet(Block::Bottleneck, [3, 4, 6, 3])), layout("torchvision_resnet50.txt"));
    assert_eq!(weights::layout(&resnet(Block::Bottleneck, [3, 4, 6, 3])), layout("timm_resnet50.txt"));
    assert_eq!(weights::layout(&resnext50()), layout("torchvision_resnext50_32x4d.txt"));
    assert_eq!(weights::layout(&resnext50()), layout("timm_resnext50_32x4d.txt"));
    assert_eq!(weights::layout(&vit_small()), layout("timm_vit_small.txt"));
}

#[test]
fn exported_names_are_those_of_the_target() {
    let zeros = |(name, shape): (String, Shape)| match shape {
        Shape::Floats(shape) => {
            let values = vec![0.0; shape.iter().product()];
            (name, Stored::F32 { shape, values })
        }
        Shape::Count => (name, Stored::U64(vec![0])),
    };
    let renamed = |target: Target, architecture: &Architecture| -> Vec<(String, Shape)> {
        target.check(architecture, (224, 224), None).unwrap();
        let backbone: Tensors = weights::layout(architecture).into_iter().map(zeros).collect();
        let renamed = target.rename(backbone, Tensors::new(), Tensors::new(), false);
        renamed.iter().map(|(name, stored)| (name.clone(), Shape::of(stored))).collect()
    };
    let sorted = |name| {
        let mut layout = layout(name);
        layout.sort_by(|a, b| a.0.cmp(&b.0));
        layout
    };
    let resnet18 = resnet(Block::Basic, [2, 2, 2, 2]);
    assert_eq!(renamed(Target::Torchvision, &resnet18), sorted("torchvision_resnet18.txt"));
    assert_eq!(renamed(Target::Torchvision, &vit_small()), sorted("torchvision_vit_small.txt"));
    assert_eq!(renamed(Target::Timm, &vit_small()), sorted("timm_vit_small.txt"));
    assert_eq!(renamed(Target::Deit, &vit_small()), sorted("timm_vit_small.txt"));
}

fn floats(tensors: &Tensors, name: &str) -> (Vec<usize>, Vec<f32>) {
    match &tensors[name] {
        Stored::F32 { shape, values } => (shape.clone(), values.clone()),
        Stored::U64(counts) => panic!("{name} is {counts:?}"),
    }
}

#[test]
fn both_formats_of_pytorch_are_read_with_their_views_and_types() {
    let values: Vec<f32> = (0..12).map(|i| i as f32 / 8.0).collect();
    for file in ["archive.pth", "stream.pth"] {
        let tensors = weights::read(&stored(file)).unwrap();
        assert_eq!(tensors.len(), 9, "{file}");
        for name in ["float", "half", "bfloat"] {
            assert_eq!(floats(&tensors, name), (vec![3, 4], values.clone()), "{file}, {name}");
        }
        let transposed = (0..4).flat_map(|column| (0..3).map(move |row| (row * 4 + column) as f32 / 8.0));
        assert_eq!(floats(&tensors, "transposed"), (vec![4, 3], transposed.collect()), "{file}");
        assert_eq!(floats(&tensors, "part"), (vec![3], vec![2.0, 3.0, 4.0]), "{file}");
        assert_eq!(floats(&tensors, "other"), (vec![4], vec![0.0, 3.0, 6.0, 9.0]), "{file}");
        assert_eq!(floats(&tensors, "parameter"), (vec![4], values[..4].to_vec()), "{file}");
        assert_eq!(floats(&tensors, "empty"), (vec![0, 2], vec![]), "{file}");
        assert_eq!(tensors["count"], Stored::U64(vec![7]), "{file}");
    }
    for file in ["protocol4.pth", "bare.pth", "checkpoint_epoch_0100.pth"] {
        assert_eq!(
            floats(&weights::read(&stored(file)).unwrap(), "x"),
            (vec![3, 4], values.clone()),
            "{file}"
        );
    }
}

#[test]
fn what_lies_beside_the_weights_is_passed_over_and_never_run() {
    for name in ["beside2", "beside5", "beside2_stream", "beside5_stream"] {
        let tensors = weights::read(&stored(&format!("{name}.pth"))).unwrap();
        assert_eq!(tensors.keys().collect::<Vec<_>>(), ["attributed", "x"], "{name}");
        for tensor in ["attributed", "x"] {
            assert_eq!(floats(&tensors, tensor), (vec![3], vec![0.0, 1.0, 2.0]), "{name}, {tensor}");
        }
    }
    for (name, n) in [("namespace", 154), ("numpy_best", 154), ("mae_full", 21)] {
        assert_eq!(weights::read(&stored(&format!("cases/{name}.pth"))).unwrap().len(), n, "{name}");
    }
}

/// What is said of a stored file that must be refused.
fn told(name: &str) -> String {
    let path = stored(name);
    let error = weights::read(&path).unwrap_err();
    assert!(error.hint().is_some(), "{error}");
    error.to_string().replace(&path.display().to_string(), name)
}

#[test]
fn files_of_pytorch_that_are_no_weights_are_refused_with_the_reason() {
    for (name, expected) in [
        (
            "code_archive.pth",
            "`code_archive.pth` is a pickle that would execute code: it refers to `posix.system`",
        ),
        (
            "code_stream.pth",
            "`code_stream.pth` is a pickle that would execute code: it refers to `posix.system`",
        ),
        (
            "module.pth",
            "`module.pth` is a pickle that would execute code: it refers to `torch.nn.modules.linear.Linear`",
        ),
        ("double.pth", "`double.pth`: `x` has unsupported values: float64"),
        (
            "expanded.pth",
            "`expanded.pth`: `x` of shape [1000] repeats the 1 values of its storage, as `tensor.expand` makes it",
        ),
        ("sparse.pth", "`sparse.pth`: `x` is a sparse tensor, which is not supported"),
        ("quantized.pth", "`quantized.pth`: `x` is a quantized tensor, which is not supported"),
        (
            "float8.pth",
            "`float8.pth`: `x` is a tensor of float8 or another type without a storage of its own, which is not supported",
        ),
        ("bomb.pth", "`bomb.pth` claims an impossible size: `bomb/byteorder` in it is compressed"),
        ("nothing.pth", "`nothing.pth` has no weights: it has no named tensors"),
        (
            "plain.pkl",
            "`plain.pkl` is neither a safetensors file nor a PyTorch file: it is a pickle, but not one that `torch.save` wrote",
        ),
    ] {
        assert_eq!(told(name).replace("bomb.tmp", "bomb"), expected);
    }
}

#[test]
fn a_cut_or_a_flipped_byte_is_an_error_or_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.pth");
    for file in ["archive.pth", "stream.pth"] {
        let whole = std::fs::read(stored(file)).unwrap();
        for length in (0..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(weights::read(&path).is_err(), "{file} of {length} bytes");
        }
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            std::fs::write(&path, bytes).unwrap();
            // Names and values may change; what matters is that nothing panics.
            let _ = weights::read(&path);
        }
    }
}
