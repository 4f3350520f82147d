//! The llm-fallback with models by script.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod descriptor;
mod drafts;
mod hostile_drafts;
mod models;
mod prompts;
mod scene;
