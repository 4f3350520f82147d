//! B4: a component that runs `/bin/true` through a shepherd, with isolation, tails and logs, against tokio's own spawn
//! and wait of the same program with no pipes at all.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use stagewright_capability::process::{Grant, Process, Program, Shepherd};
use stagewright_capability::{Cancel, Place};
use stagewright_engine::identity::RunId;
use stagewright_sandbox::Capabilities;

use crate::Setting;
use crate::component::Loaded;
use crate::measure::{Bar, Failed, in_turns};

pub(crate) async fn measure(setting: &Setting) -> Result<Bar, Failed> {
    let component = Loaded::new(&setting.components, "starts-true")?;
    let folder = tempfile::tempdir()?;
    let place = place(folder.path())?;
    let shepherd = Shepherd::new(setting.programs.join("stagewright-shepherd"));
    let times = in_turns(
        10,
        100,
        async || {
            let cancel = Cancel::new();
            let process = Process::new(grant(), place.clone(), shepherd.clone(), cancel.clone());
            let capabilities = Capabilities { process: Some(process), ..Capabilities::default() };
            component.pass(capabilities, cancel).await.map(drop)
        },
        async || {
            let mut command = tokio::process::Command::new("/bin/true");
            let status =
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().await?;
            if status.success() { Ok(()) } else { Err(format!("/bin/true: {status}").into()) }
        },
    );
    let times = times.await;
    std::fs::remove_dir_all(&place.tmp)?;
    Ok(Bar {
        name: "B4",
        what: "a component that runs `/bin/true` through a shepherd",
        bare: "tokio's own spawn and wait of `/bin/true`",
        ratio: 3.0,
        limit: None,
        times: times?,
    })
}

fn place(root: &Path) -> Result<Place, Failed> {
    let place = Place::make(RunId::new(uuid::Uuid::now_v7()), root, root.join("logs"))?;
    std::fs::create_dir(&place.clone)?;
    Ok(place)
}

fn grant() -> Grant {
    let program = Program::new(PathBuf::from("/bin/true"));
    Grant { programs: [("true".to_owned(), program)].into(), ..Grant::default() }
}
