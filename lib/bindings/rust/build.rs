// SPDX-License-Identifier: MIT
//! Where libkrepis is: where the linker looks by itself, or in KREPIS_LIB_DIR.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=KREPIS_LIB_DIR");
    if let Ok(directory) = std::env::var("KREPIS_LIB_DIR") {
        println!("cargo:rustc-link-search=native={}", directory);
        // Where the loader does not look. Of the crate's own tests and examples; who uses the
        // crate does this in a build.rs, if at all.
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", directory);
    }
}
