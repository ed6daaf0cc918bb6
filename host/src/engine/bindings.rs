//! Bindings: the host's Rust view of `wit/`, generated once.
//!
//! Owns nothing but generated code. `imports` holds every interface that the host offers; the
//! worlds share its types, so that a head or a problem is one Rust type everywhere.

/// Every interface that a component may import.
pub(crate) mod imports {
    wasmtime::component::bindgen!({
        inline: r#"
            package postern:host;
            world imports {
                import postern:types/http@0.1.0;
                import postern:types/problems@0.1.0;
                import postern:types/principals@0.1.0;
                import postern:types/blobs@0.1.0;
                import postern:types/settings@0.1.0;
                import postern:types/log@0.1.0;
                import postern:policy/keys@0.1.0;
                import postern:policy/tokens@0.1.0;
                import postern:policy/tenants@0.1.0;
                import postern:policy/plans@0.1.0;
                import postern:policy/counters@0.1.0;
                import postern:policy/rules@0.1.0;
                import postern:pipelines/types@0.1.0;
                import postern:pipelines/runs@0.1.0;
            }
        "#,
        path: ["../wit/types", "../wit/policy", "../wit/pipelines"],
        imports: {
            "postern:types/blobs@0.1.0.[method]blob.read": async | trappable,
            "postern:types/blobs@0.1.0.[method]blob.find": async | trappable,
            "postern:types/blobs@0.1.0.[method]blob-writer.write": async | trappable,
            "postern:types/blobs@0.1.0.[method]blob-writer.finish": async | trappable,
            "postern:pipelines/runs@0.1.0.submit": async | trappable,
            "postern:pipelines/runs@0.1.0.[method]run.id": async | trappable,
            "postern:pipelines/runs@0.1.0.[method]run.wait": async | trappable,
            "postern:pipelines/runs@0.1.0.[method]run.cancel": async | trappable,
            "postern:pipelines/runs@0.1.0.[method]run.resource-json": async | trappable,
            "postern:pipelines/runs@0.1.0.[method]run.output": async | trappable,
            default: trappable,
        },
        with: {
            "postern:types/blobs@0.1.0.blob": crate::blobs::Blob,
            "postern:types/blobs@0.1.0.blob-writer": crate::engine::imports::blobs::Writer,
            "postern:pipelines/runs@0.1.0.run": crate::jobs::Run,
        },
    });
}

/// World `auth`.
pub(crate) mod auth {
    wasmtime::component::bindgen!({
        path: ["../wit/types", "../wit/policy"],
        world: "postern:policy/auth",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "postern:types": super::imports::postern::types,
            "postern:policy/keys": super::imports::postern::policy::keys,
            "postern:policy/tokens": super::imports::postern::policy::tokens,
            "postern:policy/tenants": super::imports::postern::policy::tenants,
        },
    });
}

/// World `rate-limit`.
pub(crate) mod rate_limit {
    wasmtime::component::bindgen!({
        path: ["../wit/types", "../wit/policy"],
        world: "postern:policy/rate-limit",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "postern:types": super::imports::postern::types,
            "postern:policy/plans": super::imports::postern::policy::plans,
            "postern:policy/counters": super::imports::postern::policy::counters,
        },
    });
}

/// World `validation`.
pub(crate) mod validation {
    wasmtime::component::bindgen!({
        path: ["../wit/types", "../wit/policy"],
        world: "postern:policy/validation",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "postern:types": super::imports::postern::types,
            "postern:policy/rules": super::imports::postern::policy::rules,
        },
    });
}

/// World `shaping`.
pub(crate) mod shaping {
    wasmtime::component::bindgen!({
        path: ["../wit/types", "../wit/pipelines", "../wit/shaping"],
        world: "postern:shaping/shaping",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "postern:types": super::imports::postern::types,
            "postern:pipelines": super::imports::postern::pipelines,
        },
    });
}

/// What a shaping component may export besides its world.
pub(crate) mod pages {
    wasmtime::component::bindgen!({
        inline: r#"
            package postern:host-pages;
            world pages {
                export postern:shaping/pages@0.1.0;
            }
        "#,
        path: ["../wit/types", "../wit/pipelines", "../wit/shaping"],
        exports: { default: async },
    });
}

/// World `pre-hook`.
pub(crate) mod pre_hook {
    wasmtime::component::bindgen!({
        path: ["../wit/types", "../wit/hooks"],
        world: "postern:hooks/pre-hook",
        imports: { default: trappable },
        exports: { default: async },
        with: { "postern:types": super::imports::postern::types },
    });
}
