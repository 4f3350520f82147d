//! The bindings of `wit/v1`, as `wit-bindgen` makes them.
//!
//! They are public because [`export!`](crate::export) expands to them in the author's crate. Authors use the names
//! that the crate's root gives out.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    unsafe_code,
    elided_lifetimes_in_paths,
    clippy::all,
    reason = "generated code; its documentation is the WIT file's"
)]

wit_bindgen::generate!({
    path: "../../wit/v1",
    world: "full",
    additional_derives: [PartialEq],
    pub_export_macro: true,
    export_macro_name: "export_guest",
    default_bindings_module: "stagewright_sdk::bindings",
    generate_all,
});
