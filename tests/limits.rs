//! Inputs that ask for too much, or have no end: the program ends at once with a reason.

use tempfile::tempdir;

use crate::support::{here, xtask};

#[cfg(target_os = "linux")]
#[test]
fn a_step_that_no_machine_has_memory_for_is_refused_and_leaves_no_folder() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    // 33 million images, of which two batches of views alone are hundreds of gigabytes.
    let sets = ["--set", "data.batch=33554432", "--set", "data.source.train=33554432"];
    let pipeline = here("v3.ron");
    let told = xtask(folder, ["run", &pipeline, "--out", "run"].iter().chain(&sets)).refused();
    assert!(
        told.contains("a step takes at least ") && told.contains(" GiB, and this machine has "),
        "{told}"
    );
    assert!(told.contains("data.micro_batch=") && told.contains("data.batch="), "{told}");
    assert!(!folder.join("run").exists());
    // It may be meant for another machine.
    let checked = xtask(folder, ["check", &pipeline].iter().chain(&sets)).done();
    assert!(checked.stdout.contains("note: `run` would refuse it here: a step takes at least"), "{checked}");
}

#[test]
fn numbers_of_epochs_that_no_run_has_are_refused_at_once() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let small = here("small.ron");
    for command in ["check", "summary", "run"] {
        let told = xtask(folder, [command, &small, "--set", "epochs=4294967296"]).refused();
        assert!(told.contains("there are 4294967296 epochs, more than the 1000000"), "{told}");
    }
    for number in 0..64_u8 {
        image::RgbImage::from_pixel(8, 8, image::Rgb([number; 3]))
            .save(folder.join(format!("{number}.png")))
            .unwrap();
    }
    let told = xtask(folder, ["train", ".", "--dry-run", "--epochs", "18446744073709551615"]).refused();
    assert!(told.contains("the number of epochs"), "{told}");
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused_wherever_a_file_is_read() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    for name in ["pipe.ron", "pipe.pth", "pipe.safetensors", "pipe.txt"] {
        assert!(std::process::Command::new("mkfifo").arg(folder.join(name)).status().unwrap().success());
    }
    std::fs::write(folder.join("child.ron"), "Pipeline(base: \"pipe.ron\")").unwrap();
    let small = here("small.ron");
    for arguments in [
        &["check", "pipe.ron"][..],
        &["check", "child.ron"],
        &["check", "/dev/zero"],
        &["import", "pipe.pth"],
        &["import", "/dev/zero"],
        &["run", &small, "--from", "pipe.safetensors", "--out", "run"],
        &["run", &small, "--set", "data.source=(\"list-file\", (path: \"pipe.txt\"))", "--out", "run"],
    ] {
        let told = xtask(folder, arguments).refused();
        assert!(
            told.contains("regular file") || told.contains("a pipe or a device"),
            "{arguments:?}: {told}"
        );
    }
    assert!(!folder.join("run").exists());
}

#[test]
fn texts_that_are_made_to_be_large_are_refused() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let small = here("small.ron");
    let text = std::fs::read_to_string(&small).unwrap();
    std::fs::write(folder.join("marked.ron"), format!("\u{feff}{text}")).unwrap();
    std::fs::write(folder.join("escaped.ron"), text.replacen("\"resnet\"", r#""res\u{6e}et""#, 1)).unwrap();
    xtask(folder, ["check", "marked.ron", "escaped.ron"]).done();
    std::fs::write(folder.join("twice.ron"), text.replacen("\"eval\":", r#""qu\u{65}ry": [], "eval":"#, 1))
        .unwrap();
    std::fs::write(folder.join("deep.ron"), text.replacen("\"resnet\"", &"(".repeat(200_000), 1)).unwrap();
    std::fs::write(folder.join("long.ron"), format!("Pipeline(name: \"{}", "x".repeat(5_000_000))).unwrap();
    for (file, expected) in [
        ("twice.ron", "`query` is given twice"),
        ("deep.ron", "more than 64 brackets are open here"),
        ("long.ron", "more than the limit of 1048576"),
    ] {
        let told = xtask(folder, ["check", file]).refused();
        assert!(told.contains(expected), "{file}: {told}");
    }
    let deep = format!("modules.backbone={}", "[".repeat(50_000));
    assert!(xtask(folder, ["check", &small, "--set", &deep]).refused().contains("more than 64 brackets"));
    let temperature =
        xtask(folder, ["check", &small, "--set", "modules.contrast.temperature=1e-30"]).refused();
    assert!(temperature.contains("it must be from 0.001 to 1000"), "{temperature}");
    let stars = format!("freeze=[{:?}]", "*a".repeat(5000));
    let stars = xtask(folder, ["check", &small, "--set", &stars]).refused();
    assert!(stars.contains("no parameter is named `*a*a"), "{stars}");
}
