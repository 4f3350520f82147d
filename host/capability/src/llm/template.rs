//! The arguments of an agent, as the operator wrote them, and what is filled into them.

use super::usage::usd;
use crate::process::MAX_ARGUMENT;
use crate::{Failure, FailureKind};

/// The placeholders.
pub(super) const KNOWN: [&str; 3] = [PROMPT, MODEL, BUDGET];
const PROMPT: &str = "{prompt}";
const MODEL: &str = "{model}";
const BUDGET: &str = "{budget_usd}";

/// What is filled in.
pub(super) struct Filling<'a> {
    pub(super) prompt: &'a str,
    pub(super) model: Option<&'a str>,
    pub(super) budget_micro_usd: Option<u64>,
}

/// A command line that was filled in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filled {
    /// The arguments.
    pub(super) args: Vec<String>,
    /// The same as they may be told: `{prompt}` stays.
    pub(super) shown: Vec<String>,
    /// Whether the prompt is in them.
    pub(super) holds_prompt: bool,
}

/// Gives the first placeholder in it that is none.
pub(super) fn check(arg: &str) -> Result<(), String> {
    let mut rest = arg;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else { return Ok(()) };
        // Braces around anything but a plain word are JSON or a shell's, and stay as they are.
        let word =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        let placeholder = format!("{{{name}}}");
        if word && !KNOWN.contains(&placeholder.as_str()) {
            return Err(placeholder);
        }
        rest = if word { behind } else { after };
    }
    Ok(())
}

/// Fills the arguments in.
///
/// # Errors
/// `llm-prompt-too-long`: an argument has no room for the prompt.
pub(super) fn fill(template: &[String], filling: &Filling<'_>) -> Result<Filled, Failure> {
    let budget = filling.budget_micro_usd.map(usd);
    let mut filled = Filled { args: Vec::new(), shown: Vec::new(), holds_prompt: false };
    for (at, arg) in template.iter().enumerate() {
        let lacks = |placeholder, value: Option<&str>| value.is_none() && arg.contains(placeholder);
        if lacks(MODEL, filling.model) || lacks(BUDGET, budget.as_deref()) {
            let option = at.checked_sub(1).map(|before| &template[before]);
            if option.is_some_and(|option| is_option(option)) && !arg.starts_with('-') {
                filled.args.pop();
                filled.shown.pop();
            }
            continue;
        }
        // What is filled in is not searched again: a prompt may hold a placeholder's name.
        let (mut whole, mut shown) = (String::new(), String::new());
        let mut rest = arg.as_str();
        while let Some((start, placeholder)) = next(rest) {
            let value = match placeholder {
                MODEL => filling.model.unwrap_or_default(),
                BUDGET => budget.as_deref().unwrap_or_default(),
                _ => filling.prompt,
            };
            for text in [&mut whole, &mut shown] {
                text.push_str(&rest[..start]);
            }
            if placeholder == PROMPT {
                filled.holds_prompt = true;
                // A prompt that begins like an option is none.
                if whole.is_empty() && value.starts_with('-') {
                    whole.push(' ');
                }
                shown.push_str(PROMPT);
            } else {
                shown.push_str(value);
            }
            whole.push_str(value);
            rest = &rest[start + placeholder.len()..];
        }
        whole.push_str(rest);
        shown.push_str(rest);
        if whole.len() > MAX_ARGUMENT {
            let message = "the prompt is too long for an argument; without `{prompt}` in the role's arguments it goes \
                           to the standard input, which has room";
            return Err(Failure::new(FailureKind::Limit, "llm-prompt-too-long", message));
        }
        filled.args.push(whole);
        filled.shown.push(shown);
    }
    Ok(filled)
}

fn is_option(arg: &str) -> bool {
    arg.starts_with('-') && !KNOWN.iter().any(|known| arg.contains(known))
}

/// The first placeholder in the text, and where it begins.
fn next(text: &str) -> Option<(usize, &'static str)> {
    KNOWN.into_iter().filter_map(|known| Some((text.find(known)?, known))).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, prompt: &str, model: Option<&str>, budget: Option<u64>) -> Filled {
        let template: Vec<String> = template.split(' ').map(Into::into).collect();
        fill(&template, &Filling { prompt, model, budget_micro_usd: budget }).unwrap()
    }

    #[test]
    fn what_is_filled_in_is_not_searched_again_and_the_prompt_is_not_told() {
        let done = filled("-m {model} --b={budget_usd} {prompt}", "say {model}", Some("m1"), Some(1_250_000));
        assert_eq!(done.args, ["-m", "m1", "--b=1.25", "say {model}"]);
        assert_eq!(done.shown, ["-m", "m1", "--b=1.25", "{prompt}"]);
        assert!(done.holds_prompt);
    }

    #[test]
    fn where_there_is_nothing_to_fill_in_the_option_goes_too() {
        assert_eq!(filled("-p --model {model} --max {budget_usd} -v", "x", None, None).args, ["-p", "-v"]);
        assert_eq!(filled("-p --max={budget_usd} -v", "x", None, None).args, ["-p", "-v"]);
        assert!(!filled("-p", "x", None, None).holds_prompt);
    }

    #[test]
    fn a_prompt_that_begins_like_an_option_is_none() {
        assert_eq!(filled("{prompt}", "--help", None, None).args, [" --help"]);
        assert_eq!(filled("--prompt={prompt}", "--help", None, None).args, ["--prompt=--help"]);
    }

    #[test]
    fn a_prompt_that_is_too_long_for_an_argument_is_refused() {
        let prompt = "x".repeat(128 << 10);
        let filling = Filling { prompt: &prompt, model: None, budget_micro_usd: None };
        assert_eq!(fill(&["{prompt}".into()], &filling).unwrap_err().code, "llm-prompt-too-long");
        assert_eq!(fill(&["-p".into()], &filling).unwrap().args, ["-p"]);
    }

    #[test]
    fn only_words_in_braces_are_placeholders() {
        for good in ["{prompt}", "{\"a\": 1}", "{", "}{", "{}", "x{model}y"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert_eq!(check("a {budget} b"), Err("{budget}".to_owned()));
        assert_eq!(check("{ {promt}"), Err("{promt}".to_owned()));
    }
}
