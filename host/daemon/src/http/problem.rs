//! Errors as every client gets them: problem details (RFC 9457), whatever went wrong and wherever.
//!
//! A kind of problem stands once in the list below, with its status. What an operation may answer is a type
//! ([`refusals`]): the document is written from it, so that no handler can answer what the document does not say.

use aide::generate::GenContext;
use aide::openapi::{
    MediaType, Operation, ReferenceOr, Response as Described, SchemaObject, StatusCode as Code,
};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

/// The media type of problem details.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// Problem details: what went wrong, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Problem {
    /// Which kind of problem it is: `urn:stagewright:problem:` and a word that stays the same.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What happened this time.
    detail: String,
    /// What can be done about it, where that is not clear from the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// What is told of one case: what happened, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    detail: String,
    remedy: Option<String>,
}

impl Told {
    pub(super) fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), remedy: None }
    }

    #[must_use]
    pub(super) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

macro_rules! kinds {
    ($($kind:ident = $status:literal, $word:literal, $title:literal;)+) => {
        /// Every kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind {
            $(#[doc = $title] $kind,)+
        }

        impl Kind {
            /// All of them, for the tests of the documentation.
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$kind),+];

            pub(super) const fn status(self) -> u16 {
                match self { $(Self::$kind => $status),+ }
            }

            pub(super) const fn word(self) -> &'static str {
                match self { $(Self::$kind => $word),+ }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title),+ }
            }
        }
    };
}

kinds! {
    BadRequest = 400, "bad-request", "The request can't be understood";
    BadQuery = 400, "bad-query", "The query can't be understood";
    BadJson = 400, "bad-json", "The body is not JSON";
    TokenMissing = 401, "token-missing", "The API token is missing or wrong";
    ForeignOrigin = 403, "foreign-origin", "The request comes from a page of another origin";
    ForeignHost = 403, "foreign-host", "The request names a host that this server is not";
    NotFound = 404, "not-found", "There is nothing at this path";
    NoSuchTask = 404, "no-such-task", "There is no such task";
    NoSuchRepo = 404, "no-such-repo", "There is no such repository";
    NoArtifact = 404, "no-artifact", "The stage has no artifact";
    NoLease = 404, "no-lease", "There is no such lease";
    WrongMethod = 405, "wrong-method", "The path does not know this method";
    TooSlow = 408, "too-slow", "The body did not come in time";
    Ambiguous = 409, "ambiguous", "Several tasks are meant";
    Busy = 409, "busy", "Somebody else is at the task";
    NotPossible = 409, "not-possible", "The task's state does not allow it";
    OwnerAlive = 409, "owner-alive", "The lease's owner is alive";
    TooLarge = 413, "too-large", "The body is too large";
    WrongMediaType = 415, "wrong-media-type", "The body is not declared as JSON";
    NotValid = 422, "not-valid", "The body does not say what is needed";
    NoSuchStage = 422, "no-such-stage", "The pipeline has no such stage";
    NoSuchBranch = 422, "no-such-branch", "The repository has no such branch";
    Internal = 500, "internal", "A fault of this program";
    StoreTrouble = 503, "store-trouble", "The store can't answer now";
    OutOfTime = 503, "out-of-time", "The answer took too long";
    TooMany = 503, "too-many", "Too many listen already";
    RepoTrouble = 503, "repo-trouble", "The repository can't be read now";
}

impl Problem {
    pub(super) fn new(kind: Kind, told: Told) -> Self {
        let Told { detail, remedy } = told;
        Self {
            kind: format!("urn:stagewright:problem:{}", kind.word()),
            title: kind.title(),
            status: kind.status(),
            detail,
            remedy,
        }
    }

    /// The store's own trouble. Its message says the way out.
    pub(super) fn of_store(error: &stagewright_store::Error) -> Self {
        use stagewright_store::Error;
        let kind = match error {
            Error::Rejected { .. } => Kind::Internal,
            _ => Kind::StoreTrouble,
        };
        tracing::warn!(%error, "a request could not be answered");
        Self::new(kind, Told::new(error.to_string()))
    }

    /// An error that this program did not expect. The client is told no more than that.
    pub(super) fn internal() -> Self {
        let told = Told::new("the request failed inside this program; nothing is known to have been changed")
            .with_remedy("look into the daemon's log, and report what is there");
        Self::new(Kind::Internal, told)
    }

    /// What is known of an answer that is an error and says nothing else.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let (kind, detail) = match status.as_u16() {
            404 => (Kind::NotFound, "there is nothing at this path"),
            405 => {
                (Kind::WrongMethod, "this path does not know this method; `Allow` names those that it knows")
            }
            408 => (Kind::TooSlow, "the request did not come in time"),
            413 => (Kind::TooLarge, "the body is too large"),
            415 => (Kind::WrongMediaType, "the body is not declared as JSON"),
            400..=499 => (Kind::BadRequest, "the request can't be understood"),
            _ => return Self::internal(),
        };
        let told = Told::new(detail).with_remedy("/openapi.json says what there is");
        Self { status: status.as_u16(), ..Self::new(kind, told) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Proof: the statuses are those of the list above, or come from a response.
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"stagewright\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Adds problems to what an operation may answer: one answer for each status, which names its kinds.
pub(super) fn describe(ctx: &mut GenContext, operation: &mut Operation, kinds: &[Kind]) {
    let schema = SchemaObject {
        json_schema: ctx.schema.subschema_for::<Problem>(),
        external_docs: None,
        example: None,
    };
    let responses = &mut operation.responses.get_or_insert_default().responses;
    for kind in kinds {
        let media = MediaType { schema: Some(schema.clone()), ..MediaType::default() };
        let answer = responses.entry(Code::Code(kind.status())).or_insert_with(|| {
            ReferenceOr::Item(Described {
                content: [(MEDIA_TYPE.to_owned(), media)].into_iter().collect(),
                ..Described::default()
            })
        });
        let line = format!("`{}`: {}.", kind.word(), kind.title());
        if let ReferenceOr::Item(answer) = answer
            && !answer.description.contains(&line)
        {
            if !answer.description.is_empty() {
                answer.description.push(' ');
            }
            answer.description.push_str(&line);
        }
    }
}

/// Declares what one operation may refuse: an enum of kinds, and the store's trouble beside them.
macro_rules! refusals {
    ($(#[$doc:meta])+ $name:ident { $($kind:ident),* $(,)? }) => {
        $(#[$doc])+
        #[derive(Debug)]
        pub(super) enum $name {
            $($kind($crate::http::problem::Told),)*
            Store(stagewright_store::Error),
        }

        impl From<stagewright_store::Error> for $name {
            fn from(error: stagewright_store::Error) -> Self {
                Self::Store(error)
            }
        }

        impl axum::response::IntoResponse for $name {
            fn into_response(self) -> axum::response::Response {
                use $crate::http::problem::Problem;
                let problem = match self {
                    $(Self::$kind(told) => Problem::new($crate::http::problem::Kind::$kind, told),)*
                    Self::Store(error) => Problem::of_store(&error),
                };
                problem.into_response()
            }
        }

        impl aide::OperationOutput for $name {
            type Inner = $crate::http::problem::Problem;

            fn inferred_responses(
                ctx: &mut aide::generate::GenContext,
                operation: &mut aide::openapi::Operation,
            ) -> Vec<(Option<aide::openapi::StatusCode>, aide::openapi::Response)> {
                use $crate::http::problem::{Kind, describe};
                describe(ctx, operation, &[$(Kind::$kind,)* Kind::StoreTrouble, Kind::Internal]);
                Vec::new()
            }
        }
    };
}
pub(super) use refusals;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own_that_the_page_explains() {
        let page = include_str!("../../../../docs/http.md");
        let mut seen = std::collections::BTreeSet::new();
        for kind in Kind::ALL {
            assert!(seen.insert(kind.word()), "{} is there twice", kind.word());
            let row = format!("| `{}` | {} |", kind.word(), kind.status());
            assert!(page.contains(&row), "docs/http.md has no row that begins with: {row}");
        }
    }

    #[test]
    fn a_problem_says_the_way_out_and_names_its_scheme_of_authentication() {
        let told = Told::new("no token").with_remedy("send it");
        let response = Problem::new(Kind::TokenMissing, told).into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        assert!(response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer"));
    }
}
