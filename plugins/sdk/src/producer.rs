//! What a producer is, and how it becomes a component.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Finding, Job, Outcome};

/// What a producer says of itself before it is given any work.
pub trait Producer {
    /// Its settings. The JSON Schema that the host checks them against is derived from this type, so put
    /// `#[serde(deny_unknown_fields)]` on it and a doc comment on each field.
    type Settings: DeserializeOwned + JsonSchema;
    /// Its name, kebab-case.
    const NAME: &'static str;
    /// Its own version, semver.
    const VERSION: &'static str;
    /// One line on what it does.
    const SUMMARY: &'static str;
    /// The stages that it can produce; empty for any stage.
    const STAGES: &'static [&'static str];
}

/// The work itself, with the capabilities `C`.
///
/// Implement it for every `C` with the bounds that the work needs: they are all that it can reach.
pub trait Produce<C>: Producer {
    /// Does the work of one run.
    ///
    /// A verdict is only for work that ran to its end. Whatever kept it from running is `Deferred` if it may pass
    /// and `Held` if somebody has to mend something; what is doubtful is never a pass.
    fn produce(job: &Job, settings: &Self::Settings, capabilities: &C) -> Outcome;

    /// Looks at the environment without changing it; there is no worktree yet. Nothing by default.
    fn preflight(settings: &Self::Settings, capabilities: &C) -> Vec<Finding> {
        let _ = (settings, capabilities);
        Vec::new()
    }
}

/// Makes a component of a producer: `stagewright_sdk::export!(MyProducer);`, once in a `cdylib`.
///
/// Outside `wasm32` it expands to nothing, so the same crate is tested natively.
#[macro_export]
macro_rules! export {
    ($producer:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(
            unsafe_code,
            missing_docs,
            unreachable_pub,
            reason = "generated: the component's entry points"
        )]
        const _: () = {
            use $crate::bindings::exports::stagewright::producer::producer as exported;

            struct Component;

            impl exported::Guest for Component {
                fn describe() -> exported::Descriptor {
                    $crate::guest::describe::<$producer>()
                }

                fn preflight(settings: ::std::string::String) -> ::std::vec::Vec<exported::Finding> {
                    $crate::guest::preflight::<$producer, $crate::Granted>(&settings, &$crate::Granted)
                }

                fn produce(job: exported::Job) -> exported::Outcome {
                    $crate::guest::log_panics();
                    $crate::guest::produce::<$producer, $crate::Granted>(&job, &$crate::Granted)
                }
            }

    $crate::bindings::export_guest!(Component with_types_in $crate::bindings);
        };
    };
}
