//! A scripted agent: a shell script in the place of `claude -p`. It reads its prompt, and does what a test says.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::installed::private_folder;

/// What every script begins with: the prompt, where the draft goes, and words for the usual acts.
const HEAD: &str = r#"#!/bin/sh
prompt=$(cat)
artifact=$(printf '%s\n' "$prompt" | sed -n 's/.*[Oo]ne file, `\([^`]*\)`.*/\1/p' | head -n 1)
stage=$(printf '%s\n' "$prompt" | sed -n 's/.*stage `\([^`]*\)`.*/\1/p' | head -n 1)

# draft KEY WORD [LINE]: leaves a draft with this verdict, and one more line in its front matter.
draft() {
    mkdir -p "$(dirname "$artifact")"
    { printf -- '---\n%s: %s\n' "$1" "$2"; [ -z "$3" ] || printf '%s\n' "$3"; printf 'summary: "as the agent says"\n---\n\n# What the agent saw\n\nDone in %s.\n' "$stage"; } > "$artifact"
}

# result SUBTYPE IS_ERROR COST [TEXT]: the last line of an agent.
result() {
    printf '{"type":"result","subtype":"%s","is_error":%s,"result":"%s","session_id":"s","total_cost_usd":%s,"num_turns":1,"duration_ms":5,"usage":{"input_tokens":10,"output_tokens":20,"cache_read_input_tokens":0,"cache_creation_input_tokens":0}}\n' "$1" "$2" "${4:-done}" "$3"
}

printf '{"type":"system","subtype":"init","session_id":"s"}\n'
"#;

/// An agent that does what a script says.
pub struct Agent {
    folder: TempDir,
}

impl Agent {
    /// An agent that does this.
    pub fn that(script: &str) -> Self {
        let folder = tempfile::tempdir_in(private_folder()).unwrap();
        let agent = Self { folder };
        agent.becomes(script);
        agent
    }

    /// From now on it does this instead.
    pub fn becomes(&self, script: &str) {
        // Whole under another name first: it may be running.
        let new = self.folder.path().join("new");
        std::fs::write(&new, format!("{HEAD}{script}")).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(new, self.program()).unwrap();
    }

    /// Its program.
    pub fn program(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    /// The configuration that has it answer in every role.
    pub fn setting(&self) -> String {
        format!("llm.program={}", self.program().display())
    }

    /// A folder that it may write, where that is granted with [`Agent::writes`].
    pub fn notes(&self) -> PathBuf {
        self.folder.path().join("notes")
    }

    /// The configuration that lets it write its notes.
    pub fn writes(&self) -> String {
        std::fs::create_dir_all(self.notes()).unwrap();
        format!("llm.write={}", self.notes().display())
    }

    /// What it has noted under this name.
    pub fn noted(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.notes().join(name)).ok()
    }
}

/// Whether any file below a folder holds these bytes.
pub fn holds(folder: &Path, bytes: &[u8]) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if std::fs::read(&path)
                .is_ok_and(|text| text.windows(bytes.len()).any(|part| part == bytes))
            {
                return Some(path);
            }
        }
    }
    None
}
