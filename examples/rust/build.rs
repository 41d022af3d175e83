//! Lets the program find libadadiff where it was linked from, without an environment variable.

fn main() {
    if let Ok(folder) = std::env::var("DEP_ADADIFF_LIB_DIR") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
