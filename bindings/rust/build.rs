//! Finds libadadiff: the folder in ADADIFF_LIB_DIR, else the build folder of this source tree, else the linker's paths.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=ADADIFF_LIB_DIR");
    println!("cargo:rustc-link-lib=dylib=adadiff");
    let source_tree = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.build/release");
    let folder = match env::var_os("ADADIFF_LIB_DIR") {
        Some(folder) => Some(PathBuf::from(folder)),
        None => source_tree.join("libadadiff.so").exists().then_some(source_tree),
    };
    if let Some(folder) = folder {
        let folder = folder.canonicalize().unwrap_or(folder);
        println!("cargo:rustc-link-search=native={}", folder.display());
        // Dependent crates read this as DEP_ADADIFF_LIB_DIR, to set a run-time search path.
        println!("cargo:lib_dir={}", folder.display());
    }
}
