//! Fills a role's prompt.
//!
//! Prompts are people's own text and are full of braces, so only a known name in braces is a placeholder, and everything
//! else stays as it is. What is put in is data: it is not looked at again, so it can't bring a placeholder with it.

/// The names that a prompt may have in braces.
pub const PLACEHOLDERS: [&str; 11] = [
    "work_item",
    "repo",
    "stage",
    "branch",
    "commit",
    "artifact",
    "verdict_key",
    "pass_word",
    "fail_word",
    "attempt",
    "reports",
];

/// The template, with every placeholder that has a value replaced by it.
pub fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        filled.push_str(before);
        let named = behind.split_once('}').and_then(|(name, after)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((value, after))
        });
        match named {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = behind;
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> String {
        fill(template, &[("stage", "testing".to_owned()), ("branch", "{stage} {branch}".to_owned())])
    }

    #[test]
    fn a_known_name_in_braces_is_replaced_wherever_it_stands() {
        assert_eq!(filled("{stage}: do {stage}."), "testing: do testing.");
        assert_eq!(filled("{{stage}}"), "{testing}");
        assert_eq!(filled("{ {stage}"), "{ testing");
        assert_eq!(filled("{stage"), "{stage");
    }

    #[test]
    fn other_braces_stay_as_they_are() {
        for text in ["{}", "{ stage }", "fn f() { g(); }", "${HOME}", r#"{"stage": 1}"#, "{Stage}", "}{", ""]
        {
            assert_eq!(filled(text), text);
        }
    }

    #[test]
    fn a_value_brings_no_placeholder_with_it() {
        assert_eq!(filled("{branch}{stage}"), "{stage} {branch}testing");
        let values = [("stage", "x}".to_owned()), ("branch", "{stage".to_owned())];
        assert_eq!(fill("{branch}}{stage}", &values), "{stage}x}");
    }
}
