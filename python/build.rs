//! The symbols of Python come with the interpreter that loads the module: macOS has to be told so.

fn main() {
    // Not for the package's Python, which lies beside.
    println!("cargo::rerun-if-changed=build.rs");
    pyo3_build_config::add_extension_module_link_args();
}
