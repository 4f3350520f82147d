//! Keys of the one way to language models: budgets, roles, and who answers in each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::declare::section;
use super::super::value::{Money, Program, Seconds, Secrets, choice};
use super::DAY;

section! {
    /// What language models may cost. What is spent is counted when a call has ended; a call that is running when a budget is
    /// reached is not ended for it, but an agent is told what is left (`{budget_usd}`).
    Llm {
        /// What one run may spend. If it is not set: nothing limits it.
        budget_run_usd: Option<Money>;
        /// What all runs of one task may spend together. If it is not set: nothing limits it.
        budget_task_usd: Option<Money>;
        /// What all runs may spend in one day (UTC). If it is not set: nothing limits it.
        budget_day_usd: Option<Money>;
        /// How often one run may ask.
        run_calls: u32 = 16, within 1..=1_000;
        /// The role that does a stage's work: `{ deploy = "operator" }`. By default `analysis` is done by `analyst`,
        /// `architecture` by `architect`, `development` by `developer`, `review` by `reviewer`, `testing` by `tester`,
        /// `deploy-staging` and `deploy` by `deployer`, and any other stage by the role of its own name.
        stages: BTreeMap<String, String> = BTreeMap::new();
        /// Whether a model comments on the reports of producers that are programs, when they FAIL. The comment is a file of its own
        /// and decides nothing.
        comment: bool = false;
    }
}

choice! {
    /// Who answers.
    ModelWay {
        /// A program that works in the run's clone.
        Agent = "agent",
        /// A server with the OpenAI interface. It sees nothing but the prompt.
        Server = "server",
    }
}

choice! {
    /// How an agent tells its end.
    AgentSays {
        /// By a last line `{"type":"result",…}`, as `claude --output-format stream-json` does.
        ResultLine = "result-line",
        /// By its exit code; what it prints is its answer. What it cost is not known then.
        Text = "text",
    }
}

section! {
    /// Who answers. These keys stand in `[llm]` for every role and in `[llm.roles.<name>]` for one.
    Model {
        /// `agent` or `server`. If it is not set: `agent`.
        way: Option<ModelWay>;
        /// The agent. If it is not set: `claude`.
        program: Option<Program>;
        /// Its arguments. `{model}` and `{budget_usd}` are replaced; an argument whose value is not known is left out with the
        /// option before it. The prompt comes by standard input, or in place of `{prompt}`. If it is not set:
        /// `["-p", "--output-format", "stream-json", "--verbose", "--permission-mode", "bypassPermissions", "--model", "{model}", "--max-budget-usd", "{budget_usd}"]`:
        /// what the agent may reach is bounded by the host, and nobody is there to be asked.
        args: Option<Vec<String>>;
        /// How the agent tells its end. If it is not set: `result-line`.
        output: Option<AgentSays>;
        /// The model's name.
        model: Option<String>;
        /// Variables of the agent, such as its credential. The values are never shown, and taken out of what it prints.
        variables: Secrets = Secrets::default();
        /// Further folders that the agent may read.
        read: Option<Vec<PathBuf>>;
        /// Further folders that the agent may write, such as its own configuration folder.
        write: Option<Vec<PathBuf>>;
        /// The server's address, such as `http://127.0.0.1:8080/v1`.
        url: Option<String>;
        /// A file with the server's key. If it is not set: none is sent.
        key_file: Option<PathBuf>;
        /// What a million tokens to the server cost. If it is not set: what its answers cost is not known.
        price_in_usd: Option<Money>;
        /// What a million tokens from it cost.
        price_out_usd: Option<Money>;
        /// How long one answer may take. If it is not set: 3000.
        timeout_s: Option<Seconds>, within 1..=(7 * DAY);
    }
}

section! {
    /// A role in which a model is asked.
    Role {
        /// The file with its prompt. If it is not set: the one that came with this program (`components/prompts/<name>.md`).
        prompt: Option<PathBuf>;
    }
}

section! {
    /// Language models.
    LlmGrant {
        /// The roles in which it may ask. To set it, even to `[]`, is to grant `llm`.
        roles: Option<Vec<String>>;
    }
}
