//! Weights as other libraries wrap them: the same small encoder each time.

use std::path::PathBuf;

use weights::{Choice, Convention, Encoders, EncodersError, Side, Tensors, WeightFile};

fn case(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/stored/cases").join(name)
}

fn encoders(name: &str, choice: &Choice) -> Result<Encoders, EncodersError> {
    WeightFile::open(&case(name))?.encoders(choice)
}

fn taken(name: &str) -> Encoders {
    encoders(name, &Choice::default()).unwrap()
}

/// The ResNet that the files hold, under torchvision's names.
fn resnet() -> Tensors {
    weights::read(&case("tv.pth")).unwrap()
}

#[test]
fn what_libraries_put_before_names_is_taken_off_and_told() {
    for (name, key, prefix) in [
        ("tv.pth", "", ""),
        ("compile.pth", "state_dict", "_orig_mod."),
        ("encoder.pth", "encoder", ""),
        ("lightly.pth", "", "backbone."),
        ("lightly_full.ckpt", "state_dict", "backbone."),
        ("mm_backbone.pth", "state_dict", "backbone."),
        ("nested.pth", "model_state_dict", ""),
        ("simsiam.pth", "state_dict", "module.encoder."),
        ("solo.ckpt", "state_dict", "backbone."),
        ("namespace.pth", "state_dict", "module.encoder_q."),
        ("numpy_best.pth", "state_dict", "module.encoder_q."),
    ] {
        let found = taken(name);
        assert_eq!((found.place.key.as_str(), found.place.prefix.as_str()), (key, prefix), "{name}");
        assert!(found.query.backbone == resnet(), "{name}");
        assert_eq!(found.unexpected, [""; 0], "{name}");
    }
    assert_eq!(taken("lightly.pth").convention, Convention::Sequence);
}

#[test]
fn where_two_encoders_are_each_has_its_place_or_one_has_both() {
    for name in ["solo.ckpt", "lightly_full.ckpt", "dino_noargs.pth", "dino_full.pth", "namespace.pth"] {
        let both = taken(name);
        assert!(!both.only_momentum && both.other.is_none(), "{name}");
        let side = |side| encoders(name, &Choice { side: Some(side), ..Choice::default() }).unwrap();
        let (query, momentum) = (side(Side::Query), side(Side::Momentum));
        let (of_momentum, place) = both.momentum.unwrap();
        assert_eq!(
            (&query.query, &query.place, query.only_momentum),
            (&both.query, &both.place, false),
            "{name}"
        );
        assert_eq!((&momentum.query, &momentum.place), (&of_momentum, &place), "{name}");
        assert!(momentum.only_momentum, "{name}");
        assert!(query.momentum.is_none() && momentum.momentum.is_none(), "{name}");
        assert_eq!((query.other, momentum.other), (Some(place), Some(both.place)), "{name}");
    }
    let (_, place) = taken("dino_noargs.pth").momentum.unwrap();
    assert_eq!(place.to_string(), "key `teacher`, prefix `backbone.`");
}

#[test]
fn decoders_and_heads_of_other_methods_are_left_out() {
    for name in ["mae_noargs.pth", "mae_full.pth"] {
        let found = taken(name);
        assert_eq!(found.left_out, ["mask_token", "decoder_embed.weight", "decoder_pos_embed"], "{name}");
        assert_eq!(found.query.backbone.len(), 18, "{name}");
    }
    assert_eq!(taken("solo.ckpt").left_out, ["projector.0.weight", "queue", "classifier.weight"]);
    let simsiam = taken("simsiam.pth");
    assert_eq!((simsiam.query.head.len(), simsiam.left_out.len()), (4, 1));
    let wrapped = taken("compile.pth");
    assert_eq!((wrapped.query.head.len(), wrapped.left_out.len()), (4, 0));
}

#[test]
fn other_tensors_are_left_out_where_the_choice_says_so() {
    assert!(taken("extra_key.pth").query.backbone.contains_key("mean"));
    let leave = |pattern: &str| {
        let choice = Choice { leave_out: vec![pattern.into()], ..Choice::default() };
        encoders("extra_key.pth", &choice)
    };
    for pattern in ["mean", "me*"] {
        let found = leave(pattern).unwrap();
        assert_eq!((found.left_out, found.query.backbone.len()), (vec!["mean".to_owned()], 72));
    }
    let told = leave("median").unwrap_err().to_string();
    assert_eq!(told, "nothing in it is called `median`, which was to be left out");
}

#[test]
fn code_in_the_place_of_a_weight_is_refused_and_beside_it_is_not() {
    let told = |name: &str| encoders(name, &Choice::default()).unwrap_err().to_string();
    let path = case("code_as_weight.pth");
    assert_eq!(
        told("code_as_weight.pth"),
        format!("`{}` is a pickle that would execute code: it refers to `posix.system`", path.display())
    );
    let found = taken("code_beside.pth");
    assert_eq!(found.query.backbone, resnet());
}
