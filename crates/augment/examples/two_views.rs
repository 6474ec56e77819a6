//! Times decoding and the two views of MoCo v2 on one thread: images per second, and the time of each operation.
//!
//! `cargo run --release -p augment --example two_views -- DIR SIZE SECONDS`

#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use augment as _; // Links the plugins.
use plugin_api::{Augmentation, AugmentationContext, ByteImage, Config, ConfigError, Image, Rng, build};

/// As in `xtask`: big buffers are kept for the next image.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: two_views DIR SIZE SECONDS")?;
    let size: usize = arguments.next().map_or(Ok(224), |text| text.parse())?;
    let seconds: f64 = arguments.next().map_or(Ok(10.0), |text| text.parse())?;

    let files = images_under(&folder);
    if files.is_empty() {
        return Err(format!("no JPEG under {folder}").into());
    }
    let steps = recipe(size)?;
    let mut times = vec![Duration::ZERO; steps.len()];
    let mut decoding = Duration::ZERO;
    let start = Instant::now();
    let mut n_images = 0;
    while start.elapsed().as_secs_f64() < seconds {
        let before = Instant::now();
        let image = decode(&files[n_images % files.len()])?;
        decoding += before.elapsed();
        for view in 0..2 {
            let mut rng = Rng::new(0, "view", &[n_images as u64, view]);
            let mut image = Image::Bytes(image.clone());
            for ((_, step), time) in steps.iter().zip(&mut times) {
                let before = Instant::now();
                image = step.apply(image, &mut rng);
                *time += before.elapsed();
            }
            std::hint::black_box(image);
        }
        n_images += 1;
    }
    let elapsed = start.elapsed();
    println!("{:.1} images/s", n_images as f64 / elapsed.as_secs_f64());
    let share = |name: &str, time: Duration| {
        let each = time.as_secs_f64() * 1e6 / n_images as f64;
        println!("  {name:20} {each:8.1} µs per image");
    };
    share("decode", decoding);
    for ((name, _), time) in steps.iter().zip(&times) {
        share(name, *time);
    }
    Ok(())
}

fn images_under(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_map(|entry| Some(entry.ok()?.into_path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|end| ["jpg", "jpeg"].iter().any(|jpeg| end.eq_ignore_ascii_case(jpeg)))
        })
        .collect();
    files.sort();
    files
}

fn decode(path: &PathBuf) -> Result<ByteImage, Box<dyn std::error::Error>> {
    let image = image::ImageReader::open(path)?.decode()?.into_rgb8();
    Ok(ByteImage::rgb(image.width() as usize, image.height() as usize, image.into_raw()))
}

type Step = (&'static str, Box<dyn Augmentation>);

/// MoCo v2's view (Chen et al. 2020, arXiv:2003.04297).
fn recipe(size: usize) -> Result<Vec<Step>, ConfigError> {
    let crop = format!("(size: {size}, scale: (0.2, 1.0))");
    let steps: [(&'static str, &str); 6] = [
        ("random-resized-crop", &crop),
        ("color-jitter", "(p: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1)"),
        ("grayscale", "(p: 0.2)"),
        ("gaussian-blur", "(p: 0.5, sigma: (0.1, 2.0))"),
        ("flip", "(p: 0.5)"),
        ("normalize", "(statistics: ImageNet)"),
    ];
    steps
        .into_iter()
        .map(|(name, config)| {
            Ok((name, build::<dyn Augmentation>(name, Config::new(config), &AugmentationContext)?))
        })
        .collect()
}
