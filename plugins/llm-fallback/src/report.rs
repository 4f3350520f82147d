//! Turns a draft that was judged into the report that the host writes.

use stagewright_sdk::{ModelUsage, Report, ReportBuilder};

use crate::assignment::Assignment;
use crate::draft::Judged;

/// The report. The draft's own front matter ends here; the host writes another.
pub(crate) fn build(assignment: &Assignment, judged: &Judged, usage: &ModelUsage) -> Report {
    ReportBuilder::new(judged.verdict.into(), &judged.summary)
        .with_body(&judged.body)
        .with_fact("role", assignment.role.as_str())
        .with_fact("draft", judged.source.name())
        .with_fact("input-tokens", usage.input_tokens.to_string())
        .with_fact("output-tokens", usage.output_tokens.to_string())
        .with_fact("cache-read-tokens", usage.cache_read_tokens.to_string())
        .with_fact("cache-write-tokens", usage.cache_write_tokens.to_string())
        .with_fact("cost-usd", usage.cost_micro_usd.map_or_else(|| "unknown".to_owned(), dollars))
        .build()
}

fn dollars(micro: u64) -> String {
    format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_written_to_the_last_micro_dollar() {
        assert_eq!(dollars(0), "0.000000");
        assert_eq!(dollars(42), "0.000042");
        assert_eq!(dollars(12_345_678), "12.345678");
    }
}
