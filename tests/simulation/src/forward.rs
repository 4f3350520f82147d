//! A store around a store: what it does by itself is written out, all else goes on to the inner one.

/// Implements `Store` for a type with a field `inner`: the methods that are written out, and the others by asking the
/// inner store between the type's own `asked`, `before` and `after`.
macro_rules! store_around {
    (
        impl Store for $type:ty { $($own:tt)* }
        forward { $( $name:ident($($arg:ident: $of:ty),*) -> $answer:ty; )* }
    ) => {
        #[async_trait::async_trait]
        impl stagewright_store::Store for $type {
            $($own)*

            fn metrics(&self) -> stagewright_store::Metrics {
                self.inner.metrics()
            }

            $(
                async fn $name(&self, $($arg: $of),*) -> $answer {
                    let asked = self.asked(|| {
                        let told: &[String] = &[$(format!(" {:?}", $arg)),*];
                        told.concat()
                    });
                    let asked = self.before(asked).await;
                    let answer = self.inner.$name($($arg),*).await;
                    self.after(stringify!($name), asked, &answer);
                    answer
                }
            )*
        }
    };
}

pub(crate) use store_around;
