//! A store that somebody else keeps locked.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::python;

/// A process that keeps a store locked.
pub struct Locker(Child);

impl Locker {
    /// Keeps the store in this file locked for writing, from now on and for so many seconds.
    pub fn of(store: &Path, seconds: u32) -> Self {
        let script = "import sqlite3, sys, time\n\
                      store = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                      store.execute('BEGIN IMMEDIATE')\n\
                      print('locked', flush=True)\n\
                      time.sleep(float(sys.argv[2]))\n";
        let mut command = Command::new(python());
        command.args(["-c", script]).arg(store).arg(seconds.to_string()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "locked");
        Self(process)
    }

    /// Waits until it is locked no longer.
    pub fn wait(mut self) {
        assert!(self.0.wait().unwrap().success());
    }
}
