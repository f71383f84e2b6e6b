//! The `viewfold` binary: no Rust projections of its own.

use std::process::ExitCode;

use viewfold::projection::Registry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _configured = viewfold::failpoint::configure();
    viewfold::cli::main(Registry::new())
}
