//! What a call used. Nobody's word is `None` and never 0, so that an unknown cost is not taken for none.

use serde_json::Value;
use stagewright_engine::ledger::ModelUsage;

/// The most that a cost is believed to be, in US dollars.
const MOST_USD: f64 = 1e9;

/// Tokens and cost of one call, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt that came from no cache.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer.
    pub output_tokens: Option<u64>,
    /// Tokens of the prompt that were read from a cache.
    pub cache_read_tokens: Option<u64>,
    /// Tokens of the prompt that were written to a cache.
    pub cache_write_tokens: Option<u64>,
    /// The cost, in millionths of a US dollar.
    pub cost_micro_usd: Option<u64>,
}

/// What a server's tokens cost, in millionths of a US dollar per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    /// Of the prompt.
    pub input: u64,
    /// Of the prompt where it was in the server's cache; as `input` if absent.
    pub cached_input: Option<u64>,
    /// Of the answer.
    pub output: u64,
}

impl From<Usage> for ModelUsage {
    /// For the books, in which tokens that nobody told of are none. A cost that nobody told stays unknown.
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens.unwrap_or(0),
            output_tokens: usage.output_tokens.unwrap_or(0),
            cache_read_tokens: usage.cache_read_tokens.unwrap_or(0),
            cache_write_tokens: usage.cache_write_tokens.unwrap_or(0),
            cost_micro_usd: usage.cost_micro_usd,
        }
    }
}

impl Usage {
    /// As an agent's result line tells it.
    pub(super) fn of_result_line(line: &Value) -> Self {
        let count = |name: &str| line["usage"][name].as_u64();
        Self {
            input_tokens: count("input_tokens"),
            output_tokens: count("output_tokens"),
            cache_read_tokens: count("cache_read_input_tokens"),
            cache_write_tokens: count("cache_creation_input_tokens"),
            cost_micro_usd: line["total_cost_usd"].as_f64().and_then(micro_usd),
        }
    }

    /// As an OpenAI-compatible server's answer tells it.
    pub(super) fn of_completion(answer: &Value, prices: Option<Prices>) -> Self {
        let usage = &answer["usage"];
        let (prompt, output) = (usage["prompt_tokens"].as_u64(), usage["completion_tokens"].as_u64());
        let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64();
        // The server counts what was cached among the prompt's tokens.
        let input = prompt.and_then(|prompt| prompt.checked_sub(cached.unwrap_or(0)));
        let cost = |prices: Prices| {
            let cached_price = prices.cached_input.unwrap_or(prices.input);
            let parts =
                [(input?, prices.input), (cached.unwrap_or(0), cached_price), (output?, prices.output)];
            let total: u128 =
                parts.iter().map(|&(tokens, price)| u128::from(tokens) * u128::from(price)).sum();
            u64::try_from(total.div_ceil(1_000_000)).ok()
        };
        Self {
            input_tokens: input,
            output_tokens: output,
            cache_read_tokens: cached,
            cache_write_tokens: None,
            cost_micro_usd: prices.and_then(cost),
        }
    }
}

/// A cost in dollars as millionths, rounded up: what cost something is never free. What a binary fraction adds
/// beyond the digits that were written is no cost.
fn micro_usd(usd: f64) -> Option<u64> {
    if !(0.0..=MOST_USD).contains(&usd) {
        return None;
    }
    let micro = usd * 1e6;
    let near = micro.round();
    let noise = near > 0.0 && (micro - near).abs() < 1e-3;
    Some(if noise { near as u64 } else { micro.ceil() as u64 })
}

/// As a command line or a message shows it: dollars, in as many digits as are needed.
pub(super) fn usd(micro: u64) -> String {
    let text = format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000);
    let short = text.trim_end_matches('0');
    short.strip_suffix('.').unwrap_or(short).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dollars_become_millionths_without_rounding_surprises() {
        for (usd, micro) in [
            (0.0, 0),
            (0.1, 100_000),
            (0.29, 290_000),
            (0.000_000_4, 1),
            (1.1, 1_100_000),
            (0.123_456_7, 123_457),
        ] {
            assert_eq!(micro_usd(usd), Some(micro), "{usd}");
        }
        for wrong in [-0.1, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(micro_usd(wrong), None, "{wrong}");
        }
        assert_eq!([usd(0), usd(1_500_000), usd(1), usd(20_000_000)], ["0", "1.5", "0.000001", "20"]);
    }

    #[test]
    fn a_number_that_is_none_is_unknown_and_not_zero() {
        let line = json!({"usage": {"input_tokens": "12", "output_tokens": -1, "cache_read_input_tokens": 1.5},
                          "total_cost_usd": "0.1"});
        assert_eq!(Usage::of_result_line(&line), Usage::default());
        assert_eq!(Usage::of_result_line(&json!({"usage": []})), Usage::default());
        let answer = json!({"usage": {"prompt_tokens": 5, "completion_tokens": null}});
        let prices = Prices { input: 1, cached_input: None, output: 1 };
        let usage = Usage::of_completion(&answer, Some(prices));
        assert_eq!((usage.input_tokens, usage.cost_micro_usd), (Some(5), None));
    }

    #[test]
    fn prices_give_the_cost_and_what_was_cached_has_its_own() {
        let answer = json!({"usage": {"prompt_tokens": 1_000, "completion_tokens": 10,
                                      "prompt_tokens_details": {"cached_tokens": 400}}});
        let prices = Prices { input: 3_000_000, cached_input: Some(300_000), output: 15_000_000 };
        let usage = Usage::of_completion(&answer, Some(prices));
        assert_eq!((usage.input_tokens, usage.cache_read_tokens), (Some(600), Some(400)));
        assert_eq!(usage.cost_micro_usd, Some(1_800 + 120 + 150));
    }
}
