//! The map for people: its tables in markdown, and the roadmap by what roles really cost.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use stagewright_store::request::model::RoleSpending;

use super::{CallSite, Map, Path, Reach, When};

/// The call sites and the paths without any, as tables.
pub fn call_sites(map: &Map) -> String {
    let mut page =
        "| role | stage | asked by | when | path | avoidable | a program does it | why a model stays |\n\
                    |---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for site in &map.call_sites {
        let stage = site.stage.as_ref().map_or_else(|| "(none)".to_owned(), |stage| format!("`{stage}`"));
        let _ = writeln!(
            page,
            "| {} | {stage} | {} ({}) | {} | {} | {} | {} | {} |",
            site.role,
            site.producer,
            ways(&site.reaches),
            when(site.when),
            path(site.path),
            yes(site.avoidable),
            yes(site.done_by_program),
            site.keep_reason.unwrap_or(""),
        );
    }
    page.push_str("\n| stage | done by a program |\n|---|---|\n");
    for one in &map.deterministic {
        let _ = writeln!(page, "| `{}` | {} |", one.stage, one.producer);
    }
    page
}

/// The roles in the order in which it pays to do without a model: avoidable ones first, dear ones first. What nobody has
/// measured is `unknown`, and stands behind what is known.
pub fn roadmap(map: &Map, spent: &[RoleSpending]) -> String {
    let mut roles: BTreeMap<&str, Role<'_>> = BTreeMap::new();
    for site in &map.call_sites {
        roles.entry(&site.role).or_default().sites.push(site);
    }
    for role in spent {
        // What was asked in a role that the pipeline has no more was paid for all the same.
        roles.entry(&role.role).or_default().spent.push(role);
    }
    let mut rows: Vec<(&str, Role<'_>)> = roles.into_iter().collect();
    rows.sort_by_key(|(name, role)| (!role.avoidable(), std::cmp::Reverse(role.cost()), *name));
    let mut page =
        "| role | cost | runs | a run | of unknown cost | what can be done |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for (name, role) in rows {
        let runs: u64 = role.spent.iter().map(|spent| spent.runs).sum();
        let unknown: u64 = role.spent.iter().map(|spent| spent.spending.unknown).sum();
        let (cost, each) = match role.cost() {
            Some(cost) => (usd(cost), usd(cost / runs.max(1))),
            None => ("unknown".to_owned(), "unknown".to_owned()),
        };
        let _ = writeln!(page, "| {name} | {cost} | {runs} | {each} | {unknown} | {} |", role.way_out());
    }
    page
}

#[derive(Default)]
struct Role<'a> {
    sites: Vec<&'a CallSite>,
    spent: Vec<&'a RoleSpending>,
}

impl Role<'_> {
    fn avoidable(&self) -> bool {
        self.sites.iter().any(|site| site.avoidable)
    }

    /// What was measured, in millionths of a US dollar; `None` if nothing was.
    fn cost(&self) -> Option<u64> {
        let known = self.spent.iter().any(|spent| spent.spending.calls > spent.spending.unknown);
        known.then(|| self.spent.iter().map(|spent| spent.spending.micro_usd).sum())
    }

    fn way_out(&self) -> String {
        let stages = |wanted: &dyn Fn(&CallSite) -> bool| -> Vec<String> {
            let sites = self.sites.iter().filter(|site| site.avoidable && wanted(site));
            sites.filter_map(|site| site.stage.as_ref().map(|stage| format!("`{stage}`"))).collect()
        };
        let (done, open) = (stages(&|site| site.done_by_program), stages(&|site| !site.done_by_program));
        let mut ways = Vec::new();
        if !done.is_empty() {
            ways.push(format!("switch the program for {} on everywhere", done.join(", ")));
        }
        if !open.is_empty() {
            ways.push(format!("give {} a program", open.join(", ")));
        }
        if ways.is_empty() {
            let kept = self.sites.iter().find_map(|site| site.keep_reason);
            return kept.map_or_else(
                || "the pipeline does not ask it any more".to_owned(),
                |why| format!("kept: {why}"),
            );
        }
        ways.join("; ")
    }
}

fn ways(reaches: &[Reach]) -> String {
    let words = reaches.iter().map(|reach| match reach {
        Reach::Import => "imports `llm`".to_owned(),
        Reach::Program(name) => format!("may start `{name}`"),
        Reach::AnyProgram(name) => format!("may start `{name}`, which can reach anything"),
        Reach::Target(name) => format!("may run anything on `{name}`"),
        Reach::Endpoint(name) => format!("may read `{name}`"),
        Reach::Variable(name) => format!("has `{name}`"),
        Reach::Seam => "the host's seam".to_owned(),
        Reach::Unknown => "not known".to_owned(),
    });
    words.collect::<Vec<_>>().join(", ")
}

const fn when(when: When) -> &'static str {
    match when {
        When::Always => "always",
        When::SwitchedOff => "where its program is switched off",
        When::AfterFail => "after a FAIL of a program",
    }
}

const fn path(path: Path) -> &'static str {
    match path {
        Path::Control => "control",
        Path::Artifact => "artifact only",
    }
}

const fn yes(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// An amount of US dollars, to the cent or finer where it is less.
fn usd(micro: u64) -> String {
    let (whole, part) = (micro / 1_000_000, micro % 1_000_000);
    if whole > 0 || part >= 10_000 {
        format!("{whole}.{:02} USD", part / 10_000)
    } else {
        format!("0.{part:06} USD")
    }
}

#[cfg(test)]
mod tests {
    use stagewright_engine::name::{ProducerName, StageName};
    use stagewright_engine::pipeline::Pipeline;
    use stagewright_engine::time::Span;
    use stagewright_store::request::model::Spending;

    use super::super::derive;
    use super::*;

    fn spent(role: &str, stage: &str, micro_usd: u64, unknown: u64) -> RoleSpending {
        RoleSpending {
            role: role.to_owned(),
            stage: StageName::new(stage).unwrap(),
            producer: ProducerName::new("llm-fallback").unwrap(),
            runs: 2,
            failed: 0,
            spending: Spending { calls: 2, micro_usd, unknown },
            tokens_in: 0,
            tokens_out: 0,
            duration: Span::ZERO,
        }
    }

    #[test]
    fn what_is_avoidable_and_dear_comes_first_and_what_is_not_measured_is_unknown() {
        let pipeline = Pipeline::embedded().unwrap();
        let programs = ["test-runner", "staging-runner"];
        let reaches =
            programs.into_iter().map(|name| (ProducerName::new(name).unwrap(), Vec::new())).collect();
        let role = |stage: &StageName| match stage.as_str() {
            "testing" => "tester".to_owned(),
            "deploy-staging" | "deploy" => "deployer".to_owned(),
            other => other.to_owned(),
        };
        let map = derive(&pipeline, &reaches, role, None);
        let measured = [
            spent("review", "review", 9_000_000, 0),
            spent("tester", "testing", 1_500_000, 1),
            spent("deployer", "deploy", 3_000_000, 0),
            spent("analysis", "analysis", 0, 2),
        ];
        let page = roadmap(&map, &measured);
        let rows: Vec<&str> = page.lines().skip(2).collect();
        assert!(rows[0].starts_with(
            "| deployer | 3.00 USD | 2 | 1.50 USD | 0 | switch the program for `deploy-staging` on"
        ));
        assert!(rows[0].ends_with("give `deploy` a program |"));
        assert!(rows[1].starts_with("| tester | 1.50 USD | 2 | 0.75 USD | 1 |"), "{}", rows[1]);
        assert!(rows[2].starts_with("| review | 9.00 USD"), "kept, however dear it is");
        assert!(rows.iter().any(|row| row.starts_with("| analysis | unknown | 2 | unknown | 2 |")));
        assert!(rows.iter().any(|row| row.starts_with("| development | unknown | 0 |")));
    }
}
