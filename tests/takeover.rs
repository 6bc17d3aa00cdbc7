//! Taking over, by real processes: a runner that is stopped past its deadline, one that is gone from this machine, and what nobody can know.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use cutover::process::Identity;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::binary::{Sandbox, WEB, code, output, told, until, wait};

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

/// Reads a child's events until one of this name; what follows is read by a thread.
fn heard(child: &mut Child, event: &str) -> JoinHandle<String> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let wanted = format!("\"{event}\"");
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains(&wanted)), "no {event} was told");
    std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n"))
}

impl Sandbox {
    /// Makes a release with another content of the front end, with the journal in the repository and a short deadline, and waits until it has told of
    /// `event`.
    fn begun(&self, content: &str, event: &str) -> Child {
        std::fs::write(self.product.path().join("web/index.html"), format!("<!doctype html><p>{content}\n")).unwrap();
        let mut release = self.on_github(&[&WEB[..], &["--format", "json"]].concat());
        let mut release = release.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until(&mut release, event);
        release
    }

    /// Returns a command whose journal is a ref of the sandbox's repository.
    fn on_github(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.envs(self.variables.iter().filter(|(name, _)| name == "GITHUB_TOKEN").cloned());
        command.env("CUTOVER_QUARANTINE", "500ms");
        command
    }

    /// Returns what the front end serves, the names of the journal's records, and the project's deployments.
    fn world(&self) -> (String, Vec<String>, Vec<Value>) {
        let status = output(self.on_github(&["status", "production", "--format", "json"]));
        let status: Value = serde_json::from_slice(&status.stdout).unwrap();
        let raw = output(self.on_github(&["history", "production", "--raw"]));
        let lines = String::from_utf8(raw.stdout).unwrap();
        let names = lines
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"]["is"].as_str().unwrap().to_owned());
        let project = self.ask("VERCEL_API_URL", "GET", "/v9/projects/small-web?teamId=team_rehearsal", "VERCEL_TOKEN");
        let path = format!("/v6/deployments?projectId={}&teamId=team_rehearsal&limit=100", project["id"].as_str().unwrap());
        let made = self.ask("VERCEL_API_URL", "GET", &path, "VERCEL_TOKEN");
        let ids = made["deployments"].as_array().unwrap().iter().map(|deployment| deployment["uid"].clone());
        (status["targets"][1]["serves"][0].as_str().unwrap().to_owned(), names.collect(), ids.collect())
    }
}

#[test]
fn a_runner_that_was_stopped_past_its_deadline_changes_nothing_when_it_wakes() {
    for event in ["prepare", "watch"] {
        let sandbox = Sandbox::begin();
        sandbox.clone_of_github();
        let before = sandbox.world().0;
        std::fs::write(sandbox.product.path().join("web/index.html"), "stale\n").unwrap();
        let mut stale = sandbox.on_github(&[&WEB[..], &["--format", "json"]].concat());
        let mut stale = stale.env("CUTOVER_DEADLINE", "4s").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let story = heard(&mut stale, event);
        signal(&stale, Signal::SIGSTOP);

        // It is there, as its machine says, and may wake at any moment: until its deadline it is left alone.
        let early = output(sandbox.on_github(&["recover", "production"]));
        assert_eq!(code(&early), 5, "{event}: {}", told(&early));

        std::fs::write(sandbox.product.path().join("web/index.html"), "newer\n").unwrap();
        let mut newer = sandbox.on_github(&WEB);
        newer.env("CUTOVER_DEADLINE", "4s");
        let newer = output(newer);
        let text = told(&newer);
        assert_eq!(code(&newer), 0, "{event}: {text}");
        assert!(text.contains("its deadline") && text.contains("has passed"), "{event}: {text}");
        let after = sandbox.world();
        assert_ne!(after.0, before, "{event}");
        assert_eq!(after.1.iter().filter(|name| *name == "taken_over").count(), 1, "{event}: {:?}", after.1);

        signal(&stale, Signal::SIGCONT);
        let stale = wait(stale);
        let text = format!("{}{}", story.join().unwrap(), told(&stale));
        assert_eq!(code(&stale), 4, "{event}: {text}");
        assert!(
            text.contains("another runner has written to the journal") || text.contains("has taken this release over"),
            "{event}: {text}"
        );
        assert_eq!(sandbox.world(), after, "{event}: a stale runner changes nothing");
    }
}

#[test]
fn a_process_that_is_gone_from_this_machine_is_taken_over_at_once() {
    let sandbox = Sandbox::begin();
    sandbox.clone_of_github();
    let before = sandbox.world().0;
    let mut dead = sandbox.begun("dead", "watch");
    signal(&dead, Signal::SIGKILL);
    dead.wait().unwrap();
    assert_ne!(sandbox.world().0, before);
    let recovered = output(sandbox.on_github(&["recover", "production"]));
    let text = told(&recovered);
    assert_eq!(code(&recovered), 0, "{text}");
    assert!(text.contains(&format!("its process {} on this machine has ended", dead.id())), "{text}");
    let (serves, records, _) = sandbox.world();
    assert_eq!(serves, before);
    assert_eq!(records.last().map(String::as_str), Some("rolled_back"));
}

#[test]
fn only_the_machine_of_a_process_can_see_that_it_is_gone() {
    let own = Identity::own().unwrap();
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let there = Identity { pid: child.id(), ..own.clone() };
    assert!(!own.sees_that_is_gone(&own), "this one");
    assert!(own.sees_that_is_gone(&there), "the number is another process's by now: it began at another time");
    signal(&child, Signal::SIGKILL);
    child.wait().unwrap();
    assert!(own.sees_that_is_gone(&there), "no process has the number");
    for elsewhere in [Identity { boot: "another".into(), ..there.clone() }, Identity { namespace: "pid:[1]".into(), ..there.clone() }] {
        assert!(!own.sees_that_is_gone(&elsewhere), "{elsewhere:?}");
    }
}
