use super::*;

fn image_bytes(config: &str, seed: u64, index: usize) -> Vec<u8> {
    let dataset = build::<dyn Dataset>("shapes", Config::new(config), &DatasetContext { seed }).unwrap();
    dataset.open().unwrap().train.load(index).unwrap().values
}

#[test]
fn an_image_depends_on_seed_split_and_index_alone() {
    let splits = open("shapes", "(train: 50, test: 20)").unwrap();
    let (train, test) = (splits.train, splits.test.unwrap());
    assert_eq!((train.len(), test.len()), (50, 20));
    let image = train.load(7).unwrap();
    assert_eq!((image.width, image.height, image.values.len()), (32, 32, 3072));
    assert_eq!(train.load(7).unwrap(), image);
    assert_eq!(
        image_bytes("(train: 9, test: 0)", 0, 7),
        image.values,
        "the number of images does not matter"
    );
    assert_ne!(image_bytes("(train: 9, test: 0)", 1, 7), image.values);
    assert_ne!(test.load(7).unwrap(), image);
    assert_ne!(train.load(17).unwrap(), image);
}

#[test]
fn classes_are_balanced() {
    let train = open("shapes", "(train: 1000, test: 0, classes: 8)").unwrap().train;
    assert_eq!(train.class_names().len(), 8);
    for class in 0..8 {
        assert_eq!(labels(&*train).iter().filter(|&&label| label == Some(class)).count(), 125);
    }
}

#[test]
fn other_sizes_and_extreme_settings_work() {
    for config in [
        "(size: 16)",
        "(size: 225, scale: (0.1, 1.0), rotation: 180)",
        "(chroma: 0, texture: 0, clutter: 0, noise: 0, light: 0, contrast: 0.4)",
        "(chroma: 0.5, texture: 1, clutter: 60, noise: 0.5, light: 1, contrast: 0.05, scale: (0.5, 0.5))",
    ] {
        let train = open("shapes", config).unwrap().train;
        for index in 0..30 {
            let image = train.load(index).unwrap();
            assert!(
                image.values.iter().max() > image.values.iter().min(),
                "{config}: image {index} is of one color"
            );
        }
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    for (config, field) in [
        ("(train: 0)", "train"),
        ("(size: 8)", "size"),
        ("(classes: 11)", "classes"),
        ("(scale: (0.8, 0.4))", "scale"),
        ("(noise: -1)", "noise"),
        ("(contrast: 0.9)", "contrast"),
    ] {
        let error = dataset("shapes", config).err().unwrap_or_else(|| panic!("{config} builds")).to_string();
        assert!(error.starts_with(&format!("`{field}` is")), "{error}");
    }
}

/// If raw pixels told the class, a rise of kNN in training would prove little.
#[test]
fn nearest_neighbors_in_raw_pixels_rarely_have_the_same_class() {
    let splits = open("shapes", "(train: 4000, test: 500)").unwrap();
    let rows = |images: &dyn Images| -> Vec<Vec<f32>> {
        (0..images.len()).map(|i| unit(&images.load(i).unwrap().values)).collect()
    };
    let (train, test) = (rows(&*splits.train), rows(&*splits.test.unwrap()));
    let mut right = 0;
    for (i, row) in test.iter().enumerate() {
        let mut near: Vec<(f32, usize)> =
            train.iter().enumerate().map(|(j, other)| (dot(row, other), j % 10)).collect();
        near.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut votes = [0.0; 10];
        for (similarity, class) in &near[..20] {
            votes[*class] += (similarity / 0.1).exp();
        }
        let winner = (0..10).reduce(|best, class| if votes[class] > votes[best] { class } else { best });
        right += usize::from(winner == Some(i % 10));
    }
    let share = right as f64 / test.len() as f64;
    assert!((0.1..0.45).contains(&share), "{share}");
}

fn unit(rgb: &[u8]) -> Vec<f32> {
    let row: Vec<f32> = rgb.iter().map(|&value| f32::from(value) / 255.0).collect();
    let length = dot(&row, &row).sqrt();
    row.into_iter().map(|value| value / length).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum()
}
