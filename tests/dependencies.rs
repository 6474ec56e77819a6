//! What the program is made of besides its own crates: under which licenses, and from where.
//!
//! With the feature `registry`, for packages that only other features or platforms need must be fetched.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, LicenseReq, ParseMode};

/// Licenses that ask for no more than their own text beside the program.
const LICENSES: [&str; 11] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "NCSA",
    "Unicode-3.0",
    "Zlib",
];

/// The only place that dependencies come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Every package that some feature needs on some platform.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let arguments = ["metadata", "--format-version", "1", "--locked", "--all-features"];
    let output = Command::new(cargo).args(arguments).current_dir(workspace).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn is_allowed(requirement: &LicenseReq) -> bool {
    LICENSES.contains(&requirement.to_string().as_str())
}

#[test]
fn dependencies_come_from_the_registry_under_licenses_that_ask_for_nothing() {
    let packages = packages();
    assert!(packages.len() > 100, "{} packages", packages.len());
    let mut wrong = Vec::new();
    for package in &packages {
        let name = format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        let license = package["license"].as_str().unwrap_or("none");
        match Expression::parse_mode(license, ParseMode::LAX) {
            Ok(expression) if expression.evaluate(is_allowed) => {}
            _ => wrong.push(format!("{name} has the license `{license}`")),
        }
        match package["source"].as_str() {
            None => {
                for used in package["dependencies"].as_array().unwrap() {
                    if used["req"] == "*" && used["path"].is_null() {
                        wrong.push(format!("{name} takes any version of {}", used["name"]));
                    }
                }
            }
            Some(REGISTRY) => {}
            Some(other) => wrong.push(format!("{name} comes from {other}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
