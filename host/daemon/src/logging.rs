//! The log on standard error, as `[log]` says (S7).
//!
//! Standard output is the result of a command and is never logged to. The fields of the spans around an event (task,
//! job, run, epoch) are on its line in both forms.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::sections::{Log, LogFormat};

/// Begins to log. A process begins once; later calls change nothing.
pub fn begin(log: &Log) {
    // It fails only if the process logs already.
    let _ = subscriber(log, io::stderr).try_init();
}

fn subscriber<W>(log: &Log, writer: W) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // The level was looked at when the configuration was.
    let filter = EnvFilter::builder().parse_lossy(&log.level);
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false);
    match log.format {
        LogFormat::Text => Box::new(subscriber.finish()),
        LogFormat::Json => Box::new(
            subscriber.json().flatten_event(true).with_current_span(false).with_span_list(true).finish(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: &Log) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        tracing::subscriber::with_default(subscriber(log, move || writer.clone()), || {
            let _span = tracing::warn_span!("run", task = "SHOP-1 in shop", epoch = 3).entered();
            tracing::warn!(code = "x", "something is odd");
            tracing::info!("all is well");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_is_one_object_with_the_fields_of_its_task() {
        let text = logged(&Log { format: LogFormat::Json, level: "warn".to_owned() });
        let [line] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["message"], "something is odd");
        assert_eq!(object["spans"][0]["task"], "SHOP-1 in shop");
        assert_eq!(object["spans"][0]["epoch"], 3);
    }

    #[test]
    fn a_text_line_has_the_fields_of_its_task_and_the_level_holds() {
        let text = logged(&Log { format: LogFormat::Text, level: "warn".to_owned() });
        assert!(text.contains("SHOP-1 in shop") && text.contains("something is odd"), "{text}");
        assert!(!text.contains("all is well"), "{text}");
        assert!(logged(&Log { format: LogFormat::Text, level: "info".to_owned() }).contains("all is well"));
    }
}
