//! Amounts of money.

use std::fmt;

use serde_json::Value;

use super::{Context, Kind, Setting, Wrong};

/// An amount of US dollars, to the millionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(u64);

impl Money {
    /// In millionths of a US dollar.
    pub const fn micro_usd(self) -> u64 {
        self.0
    }

    /// Reads digits, with at most six behind a point.
    fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 6 {
            return None;
        }
        let micro = format!("{part:0<6}").parse::<u64>().ok()?;
        whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micro).map(Self)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micro = format!("{:06}", self.0 % 1_000_000);
        let cents = micro.trim_end_matches('0');
        write!(f, "{}.{cents:0<2}", self.0 / 1_000_000)
    }
}

impl Setting for Money {
    const KIND: Kind = Kind::Money;
    fn read(value: &Value, _: Context<'_>) -> Result<Self, Wrong> {
        let amount = match value {
            // A number is written as it was read, so that no amount changes on the way.
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::String(text) => Self::parse(text),
            _ => None,
        };
        amount.ok_or_else(|| Wrong::value(Self::KIND, value))
    }
    fn show(&self) -> Option<Value> {
        Some(Value::from(self.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn an_amount_is_read_to_the_millionth_and_written_as_people_write_it() {
        let context = Context { base: Path::new("/"), home: None };
        for (value, micro, text) in [
            (Value::from(2.5), 2_500_000, "2.50"),
            (Value::from(3), 3_000_000, "3.00"),
            (Value::from("0.000001"), 1, "0.000001"),
            (Value::from("10"), 10_000_000, "10.00"),
        ] {
            let money = Money::read(&value, context).unwrap();
            assert_eq!((money.micro_usd(), money.to_string().as_str()), (micro, text));
        }
        for value in
            [Value::from(-1), Value::from("1,5"), Value::from("1.0000001"), Value::from(""), Value::Null]
        {
            assert!(Money::read(&value, context).is_err(), "{value}");
        }
    }
}
