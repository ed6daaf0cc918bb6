//! Rust types and imports for `postern:types` and `postern:pipelines`, generated from `wit/`.
//!
//! Generated once, here: components name this module in the `with` of their own bindings, so that
//! a `Problem` or a `Blob` is one type everywhere. A function that a component does not call is
//! not imported by it. On a native target every import panics: tests use `Source` for bytes.

wit_bindgen::generate!({
    path: ["../../wit/types", "../../wit/pipelines"],
    inline: "
        package postern:guest;
        world sdk {
            import postern:types/http@0.1.0;
            import postern:types/problems@0.1.0;
            import postern:types/principals@0.1.0;
            import postern:types/blobs@0.1.0;
            import postern:types/settings@0.1.0;
            import postern:types/log@0.1.0;
            import postern:pipelines/types@0.1.0;
            import postern:pipelines/runs@0.1.0;
        }
    ",
    world: "postern:guest/sdk",
    generate_all,
    generate_unused_types: true,
});
