//! Sets the name by which programs find the shared library. Without it, the linker writes the path of the build.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libmonitor_mos.so");
}
