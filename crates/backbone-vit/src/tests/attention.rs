//! Where the last block looks, compared with timm.

use plugin_api::{Backbone as _, EntryMut, Module as _};
use tensor_ops::{Device, FeatureMap, Recording};

use super::{SMALL, images, vit, with};

#[test]
fn the_class_token_attends_as_in_timm() {
    // import torch; from timm.models.vision_transformer import VisionTransformer
    // m = VisionTransformer(img_size=(16, 24), patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=0).eval()
    // for i, p in enumerate(m.state_dict().values()):
    //     p.copy_((0.3 * torch.sin(0.1 * torch.arange(p.numel(), dtype=torch.float64) + i)).view_as(p))
    // x = torch.sin(0.37 * torch.arange(2 * 16 * 24 * 3, dtype=torch.float64)).float()
    // attn, seen = m.blocks[-1].attn, {}
    // attn.fused_attn = False
    // attn.attn_drop.register_forward_hook(lambda _, inputs, __: seen.update(a=inputs[0]))
    // with torch.no_grad(): m.forward_features(x.view(2, 16, 24, 3).permute(0, 3, 1, 2))
    // print(seen["a"][:, :, 0, 1:])
    let mut vit = vit(&with(SMALL, "position: Learned"), (16, 24));
    let mut place = 0;
    vit.visit_mut(&mut |_, entry| {
        let EntryMut::Parameter(parameter) = entry else { panic!("a ViT has parameters only") };
        let n = parameter.n_elements();
        let value = |i: usize| (0.3 * (0.1 * i as f64 + f64::from(place)).sin()) as f32;
        let values: Vec<f32> = (0..n).map(value).collect();
        parameter.set_from_torch(&parameter.torch_shape(), &values).unwrap();
        place += 1;
    });
    let values: Vec<f32> = (0..2 * 16 * 24 * 3).map(|i| (0.37 * f64::from(i)).sin() as f32).collect();
    let images = FeatureMap::from_nhwc(&Device::default(), [2, 16, 24, 3], &values, Recording::Off).unwrap();
    let maps = vit.attention(images).unwrap().unwrap();
    assert_eq!((maps.size, maps.names.len()), ((2, 3), 2));
    let expected = [
        0.1502749, 0.1464821, 0.1320847, 0.1432987, 0.1561727, 0.1271603, 0.1506093, 0.145894, 0.1323827,
        0.1436966, 0.1556764, 0.1274036, 0.139106, 0.1611534, 0.1266456, 0.1333003, 0.1624294, 0.1300898,
        0.1396116, 0.1606197, 0.1266783, 0.1336622, 0.1622834, 0.1300159,
    ];
    assert_eq!(maps.values.len(), expected.len());
    for (value, expected) in maps.values.iter().zip(expected) {
        assert!((value - expected).abs() < 1e-5, "{:?}", maps.values);
    }
    assert_eq!(maps.of_image(1)[1], &maps.values[18..]);
}

#[test]
fn without_a_class_token_it_is_what_all_patches_attend_to() {
    for size in [(16, 16), (24, 16)] {
        let mut vit = vit(&with(SMALL, "pool: Mean"), (16, 16));
        let maps = vit.attention(images(3, size, Recording::Off)).unwrap().unwrap();
        assert_eq!(maps.size, (size.0 / 8, size.1 / 8));
        for image in 0..3 {
            for map in maps.of_image(image) {
                assert!((map.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{map:?}");
            }
        }
    }
}
