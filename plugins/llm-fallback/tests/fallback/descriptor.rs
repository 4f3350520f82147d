//! What the llm-fallback says of itself.

use serde_json::Value;
use stagewright_llm_fallback::LlmFallback;
use stagewright_sdk::testing::Double;
use stagewright_sdk::{FindingState, guest};

#[test]
fn the_schema_names_every_setting_and_refuses_others() {
    let descriptor = guest::describe::<LlmFallback>();
    assert_eq!(descriptor.name, "llm-fallback");
    assert!(descriptor.stages.is_empty(), "it can do any stage");
    let schema: Value = serde_json::from_str(&descriptor.settings_schema).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema.get("required").is_none(), "every setting has a default");
    let mut keys: Vec<_> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["draft", "prompt", "reports", "role", "timeout_s", "verdict_key"]);
    assert!(!descriptor.settings_schema.contains("http://"), "no remote references");
}

#[test]
fn a_preflight_looks_at_the_settings_and_at_nothing_else() {
    let host = Double::new();
    assert!(guest::preflight::<LlmFallback, _>("{}", &host).is_empty());
    let findings = guest::preflight::<LlmFallback, _>(r#"{"draft": "letter"}"#, &host);
    assert_eq!((findings.len(), findings[0].state), (1, FindingState::Defect));
    assert!(host.asked().is_empty() && host.commands().is_empty());
}
