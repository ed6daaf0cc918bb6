//! Compiles the protobuf contract without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "proto/postern/sidecar/v1/sidecar.proto";
    println!("cargo:rerun-if-changed={proto}");
    let files = protox::compile([proto], ["proto"])?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
