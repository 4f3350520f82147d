//! An effect has what it needs, by what it does.

use stagewright_engine::name::{BranchName, EffectName};

use super::super::declare::KeyPath;
use super::super::problem::quoted;
use super::super::reader::Collected;
use super::super::sections::{Effect, EffectIs, EffectKind};
use super::super::{Config, Place};
use crate::effect::{ARTIFACT, WORK};

/// What an effect needs, by what it does.
pub(super) fn all(name: &EffectName, effect: &Effect, config: &Config, collected: &mut Collected) {
    let section = KeyPath::new(["effects", name.as_str()]);
    let mut wrong = |key: &str, what: &str, way_out: &str| {
        let key = section.then(key);
        let own = collected.names.get("effects").and_then(|names| names.get(name.as_str())).cloned();
        let place = match (collected.place(&key), own) {
            (Place::Default, Some(own)) => own,
            (place, _) => place,
        };
        collected.problem(place, format!("`{key}` {what}"), way_out);
    };
    if [ARTIFACT, WORK].contains(&name.as_str()) {
        wrong("does", "is of an effect that has the name of one of the host's own", "give it another name");
    }
    match effect.does {
        None => wrong("does", "is not set", "set it to `merge` or `command`"),
        Some(EffectKind::Merge) => {
            if effect.program.is_some() || effect.class.is_some() || effect.read_back.is_some() {
                wrong("does", "is `merge`, which has no program and no class", "leave them out");
            }
        }
        Some(EffectKind::Command) => {
            if effect.program.is_none() {
                wrong("program", "is not set", "name what the effect runs");
            }
            if effect.into.is_some() {
                wrong("into", "is for `merge` only", "leave it out");
            }
            match (effect.class, effect.read_back.is_some()) {
                (None, _) => wrong(
                    "class",
                    "is not set",
                    "say `conditional`, `keyed`, `observable` or `blind`; in doubt, `blind`",
                ),
                (Some(EffectIs::Observable), false) => {
                    wrong(
                        "read_back",
                        "is not set",
                        "name a program that tells whether the act has happened",
                    );
                }
                (Some(EffectIs::Observable), true) | (Some(_), false) => {}
                (Some(_), true) => {
                    wrong(
                        "read_back",
                        "is for the class `observable` only",
                        "leave it out, or change `class`",
                    );
                }
            }
        }
    }
    if let Some(into) = &effect.into
        && let Err(error) = BranchName::new(into.as_str())
    {
        wrong("into", &format!("is no branch: {error}"), "name a branch, such as `main`");
    }
    if effect.timeout_s > config.jobs.transition_s {
        let what =
            format!("is more than the {} s that a whole transition may take", config.jobs.transition_s.0);
        wrong("timeout_s", &what, "lower it, or raise `jobs.transition_s`");
    }
    for (code, meaning) in effect.exit_codes.iter().flatten() {
        if code.parse::<u8>().is_err() {
            let what = format!("has {}, which is not an exit code", quoted(code));
            wrong("exit_codes", &what, "write a number from 0 to 255 between quotes");
        }
        if crate::effect::Meaning::of(meaning).is_none() {
            let what = format!("has {} as a meaning", quoted(meaning));
            wrong("exit_codes", &what, "write `done`, `later`, `held` or `unclear`");
        }
    }
}
