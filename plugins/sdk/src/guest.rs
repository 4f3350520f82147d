//! What stands between the component's exports and the author's code: settings are read, the schema is derived,
//! and a panic's message reaches the run's log before the trap ends the run.
//!
//! [`export!`](crate::export) calls these; a native test may, too.

use crate::{Descriptor, Finding, Granted, Host, Job, Level, Outcome, Produce, Producer, fault, finding};

/// The descriptor, with the JSON Schema of the settings.
pub fn describe<P: Producer>() -> Descriptor {
    let schema = schemars::schema_for!(P::Settings);
    Descriptor {
        name: P::NAME.to_owned(),
        version: P::VERSION.to_owned(),
        summary: P::SUMMARY.to_owned(),
        stages: P::STAGES.iter().map(|&stage| stage.to_owned()).collect(),
        settings_schema: schema.as_value().to_string(),
    }
}

/// Sends a panic's message to the run's log. The panic then traps, and the host calls it a tool error.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| Granted.log(Level::Error, &panic.to_string())));
}

/// Reads the settings and hands over to [`Produce::preflight`].
pub fn preflight<P: Produce<C>, C>(settings: &str, capabilities: &C) -> Vec<Finding> {
    match read::<P>(settings) {
        Ok(settings) => P::preflight(&settings, capabilities),
        Err(message) => vec![finding::defect("settings", message, "mend this producer's settings")],
    }
}

/// Reads the settings and hands over to [`Produce::produce`]. Settings that can't be read hold the task.
pub fn produce<P: Produce<C>, C>(job: &Job, capabilities: &C) -> Outcome {
    match read::<P>(&job.settings) {
        Ok(settings) => P::produce(job, &settings, capabilities),
        Err(message) => Outcome::Held(
            fault::new("settings-invalid", message).with_remedy("mend this producer's settings").build(),
        ),
    }
}

fn read<P: Producer>(settings: &str) -> Result<P::Settings, String> {
    serde_json::from_str(settings)
        .map_err(|error| format!("the settings of {} can't be used: {error}", P::NAME))
}
