//! The HTTP surface as its clients meet it: what it shows, what it asks for, what it refuses, and how it ends.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use stagewright_e2e::http::Request;
use stagewright_e2e::{Daemon, Host, Repo, SlowSuite, processes, python};

const LIMIT: Duration = Duration::from_secs(60);

/// Begins a task by the command line; gives the repository's name.
fn add(host: &Host, repo: &Repo, key: &str) -> String {
    let path = repo.path();
    let added =
        host.call(["task", "add", key, "--json", "--stage", "testing", "--repo", path.to_str().unwrap()]);
    assert_eq!(added.exit, 0, "{added:#?}");
    added.json()["repo"].as_str().unwrap().to_owned()
}

/// A host whose configuration knows this repository as `shop`.
fn host_of(repo: &Repo) -> Host {
    let path = repo.path();
    Host::new().with(&format!("repos.shop.path={}", path.display()))
}

#[test]
fn every_part_is_shown_without_a_token_on_loopback() {
    let repo = Repo::passing_with(&[]);
    let host = Host::new();
    let daemon = Daemon::start(&host, &[]);
    let health = daemon.get("/health").good();
    assert_eq!((&health["status"], &health["state"]), (&"ok".into(), &"running".into()));
    let status = daemon.get("/status").good();
    assert_eq!(
        (status["pid"].as_u64(), status["listen"].as_str()),
        (Some(daemon.id().into()), Some(daemon.address()))
    );

    let name = add(&host, &repo, "A-1");
    daemon.hear_end("A-1", "deploy-staging");
    let queue = daemon.get("/queue?limit=10").good();
    assert_eq!((&queue["tasks"]["held"], &queue["counts"]["held"]), (&1.into(), &1.into()), "{queue}");
    assert_eq!(queue["jobs"][0]["fault"]["code"], "target-not-granted");
    assert_eq!(queue["test_runner"]["state"], "on");
    assert_eq!(queue["staging_runner"]["state"], "not-configured");
    assert_eq!(queue["staging_runner"]["preflight"]["state"], "not-configured");
    assert_eq!(queue["transition_lease"], json!({"enabled": true, "repos": ["*"], "leases": []}));
    assert!(queue["serial_gate"].is_object() && queue["llm"].is_object());

    let tasks = daemon.get("/tasks?state=held").good();
    assert_eq!((tasks["tasks"][0]["work_item"].as_str(), &tasks["next"]), (Some("A-1"), &Value::Null));
    let task = daemon.get(&format!("/tasks/{name}/A-1")).good();
    assert_eq!(task["verdicts"]["testing"]["judgement"], "pass");
    let jobs = daemon.get(&format!("/tasks/{name}/A-1/jobs")).good();
    let stages: Vec<_> = jobs["jobs"].as_array().unwrap().iter().map(|job| job["stage"].clone()).collect();
    assert_eq!(stages, ["deploy-staging", "testing"]);
    let artifact = daemon.get(&format!("/tasks/{name}/A-1/stages/testing/artifact"));
    assert_eq!(artifact.header("content-type"), Some("text/markdown; charset=utf-8"));
    assert!(artifact.text().contains("result: PASS"), "{}", artifact.text());

    let metrics = daemon.get("/metrics").text();
    for line in [
        "stagewright_tasks{state=\"held\"} 1",
        "stagewright_jobs{state=\"held\"} 1",
        "stagewright_holds{fault=\"target-not-granted\"} 1",
        "stagewright_stage_writes_total 1",
        "stagewright_leases 0",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line}: {metrics}");
    }
    assert!(metrics.contains("process_resident_memory_bytes "), "{metrics}");
    assert_eq!(daemon.get("/transition-lease").good()["leases"], json!([]));
    let document = daemon.get("/openapi.json").good();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{document}");
    daemon.stop();
}

#[test]
fn pages_go_on_where_the_last_one_ended() {
    let (repo, host) = (Repo::passing_with(&[]), Host::new());
    for key in ["A-1", "A-2", "A-3"] {
        add(&host, &repo, key);
        assert_eq!(host.call(["task", "hold", key, "--reason", "not now"]).exit, 0);
    }
    let daemon = Daemon::start(&host, &[]);
    for (path, list) in [("/tasks", "tasks"), ("/queue", "jobs")] {
        let (mut seen, mut next) = (Vec::new(), String::new());
        loop {
            let page = daemon.get(&format!("{path}?limit=2{next}")).good();
            let entries = page[list].as_array().unwrap();
            seen.extend(entries.iter().map(|entry| entry["work_item"].as_str().unwrap().to_owned()));
            let Some(after) = page["next"].as_str() else { break };
            next = format!("&after={after}");
        }
        assert_eq!(seen, ["A-1", "A-2", "A-3"], "{path}");
    }
    daemon.get("/queue?after=nonsense").refused(400, "bad-query");
    daemon.get("/tasks?after=nonsense").refused(400, "bad-query");
    daemon.stop();
}

#[test]
fn what_changes_something_needs_the_token_and_the_token_is_nowhere_but_in_its_file() {
    let (repo, host) = (Repo::passing_with(&[]), Host::new().with("log.level=trace"));
    let name = add(&host, &repo, "A-1");
    assert_eq!(host.call(["task", "hold", "A-1", "--reason", "not now"]).exit, 0);
    let log = host.state().join("../log");
    let mut process = host
        .command(["serve", "--json"])
        .stdout(std::fs::File::create(&log).unwrap())
        .stderr(std::fs::File::options().append(true).open(&log).unwrap())
        .spawn()
        .unwrap();
    let address = host.state().join("http.json");
    processes::wait_for(LIMIT, "the daemon's address", || address.exists());
    let known: Value = serde_json::from_slice(&std::fs::read(&address).unwrap()).unwrap();
    let place = known["http"].as_str().unwrap();
    let file = host.state().join("token");
    let token = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let resume = Request::new(place, "POST", &format!("/tasks/{name}/A-1/resume"));
    let refused = resume.clone().send();
    refused.refused(401, "token-missing");
    assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer"));
    for wrong in ["", "wrong", &token[1..], &format!("{token}a")] {
        resume.clone().token(wrong).send().refused(401, "token-missing");
    }
    resume.clone().header("Authorization", &format!("Basic {token}")).send().refused(401, "token-missing");
    let good = resume.token(&token).send();
    assert_eq!(good.good()["state"], "active");
    assert!(!good.text().contains(&token));
    process.kill().unwrap();
    process.wait().unwrap();
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(!log.is_empty() && !log.contains(&token), "the token was logged");
}

#[test]
fn every_error_is_problem_details() {
    let (repo, host) =
        (Repo::passing_with(&[]), Host::new().with("http.body_bytes=2048").with("http.timeout_s=2"));
    let name = add(&host, &repo, "A-1");
    assert_eq!(host.call(["task", "hold", "A-1", "--reason", "not now"]).exit, 0);
    let daemon = Daemon::start(&host, &[]);
    let task = format!("/tasks/{name}/A-1");
    let post = |path: &str| daemon.request("POST", path).token(&daemon.token());
    let json =
        |path: &str, body: &str| post(path).header("Content-Type", "application/json").body(body).send();

    daemon.get("/nothing").refused(404, "not-found");
    daemon.get("/tasks/nowhere/A-1").refused(404, "no-such-task");
    daemon.get("/tasks/nowhere/-").refused(404, "no-such-task");
    daemon.get("/tasks/%ff/A-1").refused(400, "bad-request");
    daemon.get(&format!("{task}/stages/testing/artifact")).refused(404, "no-artifact");
    let wrong = post("/health").send();
    wrong.refused(405, "wrong-method");
    assert_eq!(wrong.header("allow"), Some("GET,HEAD"));
    for query in ["limit=0", "limit=1001", "limit=x", "state=odd", "unknown=1"] {
        daemon.get(&format!("/tasks?{query}")).refused(400, "bad-query");
        daemon.get(&format!("/queue?{query}")).refused(400, "bad-query");
    }
    json(&format!("{task}/hold"), "{").refused(400, "bad-json");
    json(&format!("{task}/hold"), "{\"reason\": 1}").refused(422, "not-valid");
    json(&format!("{task}/hold"), "{\"reason\": \"\"}").refused(422, "not-valid");
    json(&format!("{task}/hold"), "{\"reason\": \"a\", \"b\": 1}").refused(422, "not-valid");
    json(&format!("{task}/move"), "{\"to\": \"reviw\"}").refused(422, "no-such-stage");
    post(&format!("{task}/hold")).body("reason=a").send().refused(415, "wrong-media-type");
    json("/tasks", "{\"repo\": \"nowhere\", \"work_item\": \"A-2\"}").refused(404, "no-such-repo");
    let branch = json!({"repo": name, "work_item": "A-2", "branch": "no-such-branch"}).to_string();
    json("/tasks", &branch).refused(422, "no-such-branch");
    post("/transition-lease/release?work_item=A-1").send().refused(404, "no-lease");
    post("/transition-lease/release").send().refused(400, "bad-query");

    let large = json(&format!("{task}/hold"), &"x".repeat(4096));
    large.refused(413, "too-large");
    let mut chunked = post(&format!("{task}/hold"))
        .header("Content-Type", "application/json")
        .header("Transfer-Encoding", "chunked")
        .header("Connection", "close")
        .open();
    let _ = chunked.write_all(format!("1000\r\n{}\r\n0\r\n\r\n", "x".repeat(4096)).as_bytes());
    let mut answer = String::new();
    let _ = chunked.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("too-large"), "{answer}");
    // A body that never comes.
    let mut slow = post(&format!("{task}/hold"))
        .header("Content-Type", "application/json")
        .header("Content-Length", "10")
        .header("Connection", "close")
        .open();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("too-slow"), "{answer}");
    // Nothing of all that has changed anything.
    assert_eq!(daemon.get(&task).good()["state"], "held");
    daemon.stop();
}

#[test]
fn a_page_of_another_origin_or_under_another_name_gets_nothing() {
    let (repo, host) = (Repo::passing_with(&[]), Host::new());
    let name = add(&host, &repo, "A-1");
    assert_eq!(host.call(["task", "hold", "A-1", "--reason", "not now"]).exit, 0);
    let daemon = Daemon::start(&host, &["--set", "http.hosts=wright.example"]);
    let resume = daemon.request("POST", &format!("/tasks/{name}/A-1/resume")).token(&daemon.token());
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        resume.clone().header("Origin", origin).send().refused(403, "foreign-origin");
    }
    for named in ["evil.example", "localhost.evil.example"] {
        daemon.request("GET", "/queue").header("Host", named).send().refused(403, "foreign-host");
    }
    for named in ["localhost:1", "wright.example"] {
        daemon.request("GET", "/queue").header("Host", named).send().good();
    }
    let ours = format!("http://{}", daemon.address());
    assert_eq!(resume.header("Origin", &ours).send().good()["state"], "active");
    daemon.stop();
}

#[test]
fn beyond_loopback_reading_needs_the_token_too() {
    let host = Host::new();
    let daemon = Daemon::start(&host, &["--set", "http.listen=0.0.0.0:0"]);
    let port = daemon.address().rsplit(':').next().unwrap();
    let ask = Request::new(&format!("127.0.0.1:{port}"), "GET", "/queue");
    ask.clone().send().refused(401, "token-missing");
    ask.token(&daemon.token()).send().good();
    let doctor = host.with("http.listen=0.0.0.0:0").call(["doctor", "--json"]);
    assert!(doctor.stdout.contains("\"http\"") && doctor.stdout.contains("warning"), "{doctor:#?}");
    daemon.stop();
}

#[test]
fn a_task_that_is_begun_over_the_api_tells_its_way_as_events() {
    let repo = Repo::passing_with(&[]);
    let host = host_of(&repo);
    let daemon = Daemon::start(&host, &[]);
    let mut events = daemon.request("GET", "/events").listen();
    let new = json!({"repo": "shop", "work_item": "A-1", "stage": "testing"});
    let added = daemon.post("/tasks", Some(new.clone()));
    assert_eq!((added.status, added.header("location")), (201, Some("/tasks/shop/A-1")), "{}", added.text());
    for kind in ["task-added", "job-queued", "job-claimed", "job-done", "stage-written"] {
        let event = events.hear_like(|event| event.data["work_item"] == "A-1" && event.data["kind"] == kind);
        assert_eq!(event.id, event.data["seq"].to_string());
        if kind == "stage-written" {
            assert_eq!(
                (&event.data["detail"]["from"], &event.data["detail"]["to"]),
                (&"testing".into(), &"deploy-staging".into())
            );
            // Whoever comes back has missed nothing.
            let seen = (event.data["seq"].as_u64().unwrap() - 1).to_string();
            let again = [
                daemon.request("GET", "/events").header("Last-Event-ID", &seen),
                daemon.request("GET", &format!("/events?after={seen}")),
                daemon.request("GET", "/events?after=0").header("Last-Event-ID", &seen),
            ];
            for request in again {
                assert_eq!(request.listen().hear().unwrap().data, event.data);
            }
        }
    }
    let all = daemon.request("GET", "/events?after=0").listen().hear().unwrap();
    assert_eq!(all.data["seq"], 1);
    let again = daemon.post("/tasks", Some(new));
    assert_eq!(again.status, 200, "{}", again.text());
    daemon.request("GET", "/events").header("Last-Event-ID", "x").send().refused(400, "bad-request");
    daemon.stop();
}

#[test]
fn a_daemon_told_to_stop_tells_its_listeners_and_waits_for_none() {
    let (repo, host) = (Repo::passing_with(&[]), Host::new());
    let daemon = Daemon::start(&host, &[]);
    let mut streams: Vec<_> = (0..3).map(|_| daemon.request("GET", "/events").listen()).collect();
    // One who takes nothing, and one who has said half a word.
    let _deaf = daemon.request("GET", "/events?after=0").open();
    let mut half = std::net::TcpStream::connect(daemon.address()).unwrap();
    half.write_all(b"GET /health HTT").unwrap();
    add(&host, &repo, "A-1");
    for stream in &mut streams {
        stream.hear_like(|event| event.data["kind"] == "task-added");
    }
    daemon.stop();
    for stream in &mut streams {
        let end = stream.hear_like(|event| event.name == "end");
        assert_eq!(end.data["reason"], "the daemon is stopping");
        assert!(stream.hear().is_none(), "something came after the end");
    }
}

#[test]
fn while_jobs_come_to_their_end_the_daemon_says_that_it_is_draining() {
    let suite = SlowSuite::new();
    let (repo, host) = (suite.repo(), Host::new());
    add(&host, &repo, "A-1");
    let daemon = Daemon::start(&host, &[]);
    suite.wait_until_begun();
    let queue = daemon.get("/queue?state=running").good();
    assert_eq!(queue["jobs"][0]["producer"], "test-runner", "{queue}");
    assert_eq!(queue["test_runner"]["running"], 1);
    daemon.signal(rustix::process::Signal::TERM);
    daemon.hear(|line| line["event"] == "stopping");
    assert_eq!(daemon.get("/health").good()["state"], "draining");
    suite.open();
    daemon.hear(|line| line["event"] == "stopped");
}

#[test]
fn what_a_person_wants_of_a_task_is_done_as_from_the_command_line() {
    let repo = Repo::passing_with(&[]);
    let host = host_of(&repo);
    let daemon = Daemon::start(&host, &[]);
    daemon.post("/tasks", Some(json!({"repo": "shop", "work_item": "A-1", "stage": "testing"}))).good();
    // Nobody does that stage in this version: it is held, and stays.
    daemon.hear_end("A-1", "deploy-staging");
    let wish = |word: &str, body: Option<Value>| daemon.post(&format!("/tasks/shop/A-1/{word}"), body);
    assert_eq!(wish("resume", None).good()["state"], "active");
    daemon.hear_end("A-1", "deploy-staging");
    assert_eq!(wish("retry", None).good()["state"], "active");
    daemon.hear_end("A-1", "deploy-staging");
    assert_eq!(wish("move", Some(json!({"to": "testing"}))).good()["stage"], "testing");
    assert_eq!(daemon.hear_end("A-1", "testing")["judgement"], "pass");
    daemon.hear_end("A-1", "deploy-staging");
    wish("resume", None).good();
    daemon.hear_end("A-1", "deploy-staging");
    assert_eq!(wish("hold", Some(json!({"reason": "frozen"}))).good()["state"], "held");
    assert_eq!(wish("cancel", None).good()["state"], "cancelled");
    wish("resume", None).refused(409, "not-possible");
    wish("retry", None).refused(409, "not-possible");
    daemon.stop();
}

/// Puts a lease of the daemon on a task whose job runs, as a worker does it that is in the task's transition.
fn lease_of_the_daemon(host: &Host, daemon: &Daemon, key: &str) {
    let script = "import sqlite3, sys, uuid\n\
                  store = sqlite3.connect(sys.argv[1], timeout=30)\n\
                  task = store.execute('SELECT id, stage, epoch FROM tasks WHERE work_item = ?', (sys.argv[3],)).fetchone()\n\
                  store.execute('INSERT INTO leases (task, owner, stage, epoch, taken) VALUES (?, ?, ?, ?, 1700000000000)',\n  \
                  (task[0], uuid.UUID(sys.argv[2]).bytes, task[1], task[2]))\n\
                  store.commit()\n";
    let instance = daemon.get("/status").good()["instance"].as_str().unwrap().to_owned();
    let out = Command::new(python())
        .args(["-c", script])
        .arg(host.state().join("store.sqlite3"))
        .args([&instance, key])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_lease_of_a_living_owner_is_taken_away_by_force_only_and_its_work_ends() {
    let suite = SlowSuite::new();
    let (repo, host) = (suite.repo(), Host::new());
    let name = add(&host, &repo, "A-1");
    let daemon = Daemon::start(&host, &["--set", "limits.jobs=1"]);
    suite.wait_until_begun();
    lease_of_the_daemon(&host, &daemon, "A-1");
    let listed = daemon.get("/transition-lease").good();
    assert_eq!(listed["leases"][0]["owner"]["pid"], daemon.id(), "{listed}");

    daemon.post("/transition-lease/release?work_item=A-1", None).refused(409, "owner-alive");
    let refused = host.call(["lease", "release", "A-1"]);
    assert_eq!(refused.exit, 75, "{refused:#?}");
    assert!(
        refused.stderr.contains("--force") && refused.stderr.contains(&daemon.id().to_string()),
        "{refused:#?}"
    );
    let still = daemon.get("/transition-lease").good();
    assert_eq!(still["leases"][0]["epoch"], listed["leases"][0]["epoch"], "{still}");

    let mut events = daemon.request("GET", "/events").listen();
    let epoch = daemon.get(&format!("/tasks/{name}/A-1")).good()["epoch"].as_u64().unwrap();
    let forced =
        daemon.post(&format!("/transition-lease/release?work_item=A-1&repo={name}&force=true"), None).good();
    assert_eq!(
        (&forced["forced"], &forced["work"], &forced["processes_left"]),
        (&true.into(), &"ended".into(), &0.into())
    );
    assert!(forced["epoch"].as_u64().unwrap() > epoch, "{forced}");
    assert_eq!(processes::with_mark(&suite.mark()), Vec::<u32>::new());
    events.hear_like(|event| event.data["kind"] == "lease-forced");
    assert_eq!(daemon.hear_end("A-1", "testing")["outcome"], "superseded");
    assert_eq!(daemon.get("/transition-lease").good()["leases"], json!([]));
    // What is left of the task is done again, by whoever comes next.
    suite.open();
    assert_eq!(daemon.hear_end("A-1", "testing")["judgement"], "pass");
    daemon.stop();
}

#[test]
fn a_lease_is_taken_away_by_the_command_line_too_from_the_living_and_from_the_dead() {
    let suite = SlowSuite::new();
    let (repo, host) = (suite.repo(), Host::new());
    add(&host, &repo, "A-1");
    let daemon = Daemon::start(&host, &[]);
    suite.wait_until_begun();
    lease_of_the_daemon(&host, &daemon, "A-1");
    let listed = host.call(["lease", "list", "--json"]).json();
    assert_eq!(listed["leases"][0]["work_item"], "A-1", "{listed}");
    let forced = host.call(["lease", "release", "A-1", "--force", "--json"]);
    assert_eq!((forced.exit, &forced.json()["work"]), (0, &"ended".into()), "{forced:#?}");
    assert_eq!(processes::with_mark(&suite.mark()), Vec::<u32>::new());
    daemon.hear_end("A-1", "testing");

    processes::wait_for(LIMIT, "the next run", || !processes::with_mark(&suite.mark()).is_empty());
    lease_of_the_daemon(&host, &daemon, "A-1");
    daemon.kill();
    let freed = host.call(["lease", "release", "A-1", "--json"]);
    assert_eq!((freed.exit, &freed.json()["forced"]), (0, &false.into()), "{freed:#?}");
    assert!(host.call(["lease", "list"]).stdout.contains("nobody"));
    let gone = host.call(["lease", "release", "A-1"]);
    assert_eq!(gone.exit, 2, "{gone:#?}");
}

#[test]
fn a_port_that_is_in_use_is_told_and_nothing_is_started() {
    let (first, second) = (Host::new(), Host::new());
    let daemon = Daemon::start(&first, &[]);
    let listen = format!("http.listen={}", daemon.address());
    let refused = second.call(["serve", "--set", &listen]);
    assert_eq!(refused.exit, 2, "{refused:#?}");
    assert!(
        refused.stderr.contains("can't listen on") && refused.stderr.contains("http.listen"),
        "{refused:#?}"
    );
    assert!(!second.state().exists(), "a state folder was made");
    daemon.stop();
}

#[test]
fn the_command_line_finds_a_daemon_that_lives_and_none_that_was_killed() {
    let host = Host::new();
    let daemon = Daemon::start(&host, &[]);
    let found = host.call(["queue", "--json"]).json();
    assert_eq!(found["daemon"]["http"], format!("http://{}", daemon.address()), "{found}");
    daemon.kill();
    assert!(host.state().join("http.json").exists());
    assert_eq!(host.call(["queue", "--json"]).json()["daemon"], Value::Null);
    let daemon = Daemon::start(&host, &[]);
    assert!(host.call(["queue"]).stdout.contains(daemon.address()));
    daemon.stop();
    assert!(!host.state().join("http.json").exists());
}

#[test]
fn whoever_watches_the_queue_gets_an_object_for_each_change_until_they_close_it() {
    let (repo, host) = (Repo::passing_with(&[]), Host::new());
    add(&host, &repo, "A-1");
    let mut watching = host.command(["queue", "--watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(watching.stdout.take().unwrap()));
    let mut hear = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let first = hear();
    assert_eq!((&first["counts"]["queued"], &first["counts"]["held"]), (&1.into(), &0.into()));
    assert_eq!(host.call(["task", "hold", "A-1", "--reason", "not now"]).exit, 0);
    let second = hear();
    assert_eq!((&second["counts"]["queued"], &second["counts"]["held"]), (&0.into(), &1.into()));
    assert_eq!(second["jobs"][0]["fault"]["code"], "held-by-person");
    drop(lines);
    assert_eq!(host.call(["task", "resume", "A-1"]).exit, 0);
    assert!(watching.wait().unwrap().success());
    let text = host.call(["queue"]).stdout;
    assert!(text.contains("1 queued") && text.contains("A-1"), "{text}");
}
