//! Whether the owner of an environment is still at work, and whether a newer run waits: GitHub's word, and nothing else.

use std::sync::Arc;

use cutover::clock::Clock;
use cutover::embedded::World;
use cutover::embedded::fault::{Answer, Effect, Rule, Times};
use cutover::embedded::github::{CommitSeed, GitHub as Embedded, JobSeed, Level, RepositorySeed, RunSeed, Token};
use cutover::github::census::{GitHubCensus, OwnRun, own_job};
use cutover::github::{GitHub, Repository};
use cutover::http::Transport;
use cutover::id::Chance;
use cutover::release::journal::{Owner, OwnerJob};
use cutover::release::lock::{Census, Standing};

use crate::support::wire::InProcess;

const REPOSITORY: &str = "alma/shop";

/// Run 7001 of `release.yml` for the head of `main`, with jobs 9001 (`test (1)`) and 9002 (`release`) on runners of their own.
struct Bench {
    world: World,
    embedded: Embedded,
    sha: String,
}

impl Bench {
    fn new() -> Self {
        let world = World::in_process(Clock::starting_at("2026-11-21T05:00:00Z".parse().unwrap()), Chance::seeded(7));
        let embedded = Embedded::new(world.ground());
        embedded.add_to(&world);
        embedded.seed_repository(&RepositorySeed { private: true, ..RepositorySeed::new(REPOSITORY) });
        let sha = embedded.seed_commit(REPOSITORY, "main", CommitSeed { message: "first".into(), ..CommitSeed::default() }).unwrap();
        embedded.seed_token("job", Token::of_job(&[("contents", Level::Write), ("actions", Level::Read)]));
        embedded.seed_token("blind", Token::of_job(&[("contents", Level::Write)]));
        let bench = Self { world, embedded, sha };
        bench.run(7001, "release.yml", "push", "main", &bench.sha);
        bench.job(9001, "test (1)", "runner-1");
        bench.job(9002, "release", "runner-2");
        bench
    }

    fn run(&self, id: i64, workflow: &str, event: &str, branch: &str, sha: &str) {
        let seed = RunSeed { id, workflow: workflow.into(), event: event.into(), branch: branch.into(), sha: sha.to_owned(), attempt: 1 };
        self.embedded.seed_run(REPOSITORY, seed);
    }

    fn job(&self, id: i64, name: &str, runner: &str) {
        let seed = JobSeed { id, run: 7001, attempt: 1, name: name.into(), runner: Some(runner.into()) };
        self.embedded.seed_job(REPOSITORY, seed);
    }

    fn end(&self, job: i64) {
        self.embedded.end_job(REPOSITORY, job, "cancelled");
    }

    fn client(&self, token: &str) -> GitHub {
        let ground = self.world.ground();
        let transport = Transport::new(Arc::new(InProcess::new(self.world.clone())), ground.clock, Arc::new(Chance::seeded(3)));
        let base = url::Url::parse("https://api.github.com").unwrap();
        GitHub::new(transport, base, token.into(), Repository::parse(REPOSITORY).unwrap())
    }

    async fn standing(&self, job: OwnerJob) -> Standing {
        GitHubCensus::new(self.client("job"), None).standing(&Owner { job: Some(job), ..Owner::process("x") }).await
    }

    fn calls(&self) -> Vec<String> {
        let calls = self.world.ground().tape.entries().into_iter().map(|entry| entry.operation).collect();
        self.world.ground().tape.clear();
        calls
    }
}

fn by_id() -> OwnerJob {
    OwnerJob { id: Some(9002), ..by_runner() }
}

fn by_runner() -> OwnerJob {
    OwnerJob { repository: REPOSITORY.into(), run: 7001, attempt: 1, name: "release".into(), runner: Some("runner-2".into()), id: None }
}

fn by_name() -> OwnerJob {
    OwnerJob { runner: None, ..by_runner() }
}

fn over(because: &str) -> Standing {
    Standing::Over { because: because.into() }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_over_when_github_says_that_it_completed() {
    for job in [by_id(), by_runner(), by_name()] {
        let bench = Bench::new();
        assert_eq!(bench.standing(job.clone()).await, Standing::AtWork, "{job:?}");
        bench.end(9001);
        assert_eq!(bench.standing(job.clone()).await, Standing::AtWork, "another job's end is not its own: {job:?}");
        bench.run(7000, "release.yml", "push", "main", &bench.sha);
        bench.job(9003, "report", "runner-3");
        bench.calls();
        bench.end(9002);
        assert_eq!(bench.standing(job.clone()).await, over("GitHub says that job 9002 (release) completed (cancelled)"), "{job:?}");
        assert_eq!(bench.calls().len(), 1, "{job:?}");
        bench.end(9003);
        assert!(matches!(bench.standing(job.clone()).await, Standing::Over { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_takes_several_jobs_is_told_apart_by_name() {
    let bench = Bench::new();
    bench.job(9003, "build", "runner-2");
    bench.end(9003);
    assert_eq!(bench.standing(by_runner()).await, Standing::AtWork);
    // A display name that says nothing: as long as any job on that runner is at work, the owner may be.
    let named = OwnerJob { name: "deploy".into(), ..by_runner() };
    assert_eq!(bench.standing(named.clone()).await, Standing::AtWork);
    bench.end(9002);
    assert!(matches!(bench.standing(named).await, Standing::Over { .. }));
    // And one that is on no runner of this run is nobody's.
    let elsewhere = OwnerJob { runner: Some("runner-9".into()), ..by_runner() };
    assert!(matches!(bench.standing(elsewhere).await, Standing::Unknown { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_run_is_over_and_a_newer_attempt_too() {
    for job in [by_id(), by_runner()] {
        let bench = Bench::new();
        bench.embedded.remove_run(REPOSITORY, 7001);
        assert_eq!(bench.standing(job.clone()).await, over("GitHub has no run 7001 any more"), "{job:?}");
        assert_eq!(bench.calls().len(), 3);
    }
    // Its jobs are listed no more, and the run is at its second attempt.
    let bench = Bench::new();
    bench.embedded.run_again(REPOSITORY, 7001);
    let lost = OwnerJob { id: Some(4242), ..by_id() };
    assert_eq!(bench.standing(lost).await, over("GitHub says that attempt 2 of run 7001 has begun, so attempt 1 is over"));
}

#[tokio::test(start_paused = true)]
async fn no_answer_is_nobodys_end() {
    let faults = [
        (Effect::None, Answer::Lost),
        (Effect::None, Rule::status(500, None)),
        (Effect::None, Rule::status(401, None)),
        (Effect::None, Rule::status(403, None)),
        (Effect::Once, Answer::Html),
    ];
    for (effect, answer) in faults {
        for job in [by_id(), by_runner()] {
            let bench = Bench::new();
            bench.end(9002);
            bench.world.ground().faults.set(Rule::at("github.*", effect, answer.clone()).unwrap().times(Times::Forever));
            assert!(matches!(bench.standing(job).await, Standing::Unknown { .. }), "{answer:?}");
        }
    }
    // A job that is not found while its run is there, and a whole repository that cannot be seen.
    let bench = Bench::new();
    assert!(matches!(bench.standing(OwnerJob { id: Some(4242), ..by_id() }).await, Standing::Unknown { .. }));
    bench.world.ground().faults.set(Rule::at("github.*", Effect::None, Rule::status(404, None)).unwrap().times(Times::Forever));
    assert!(matches!(bench.standing(by_id()).await, Standing::Unknown { .. }));
    // A token that may not read runs, a job of another repository, and a process.
    let bench = Bench::new();
    bench.end(9002);
    let blind = GitHubCensus::new(bench.client("blind"), None);
    assert!(matches!(blind.standing(&Owner { job: Some(by_id()), ..Owner::process("x") }).await, Standing::Unknown { .. }));
    bench.calls();
    assert!(matches!(bench.standing(OwnerJob { repository: "alma/other".into(), ..by_id() }).await, Standing::Unknown { .. }));
    let census = GitHubCensus::new(bench.client("job"), None);
    assert!(matches!(census.standing(&Owner::process("someone@laptop/42")).await, Standing::Unknown { .. }));
    assert_eq!(bench.calls().len(), 0, "there is nobody to ask");
}

#[tokio::test(start_paused = true)]
async fn a_job_finds_its_own_id() {
    let bench = Bench::new();
    let client = bench.client("job");
    assert_eq!(own_job(&client, &by_runner()).await, Some(9002));
    assert_eq!(bench.calls().len(), 1);
    assert_eq!(own_job(&client, &by_name()).await, Some(9002));
    let leg = OwnerJob { name: "test".into(), runner: None, ..by_runner() };
    assert_eq!(own_job(&client, &leg).await, Some(9001));
    bench.job(9003, "test (2)", "runner-3");
    assert_eq!(own_job(&client, &leg).await, None, "two legs cannot be told apart by name");
    assert_eq!(own_job(&client, &OwnerJob { runner: Some("runner-3".into()), ..leg }).await, Some(9003));
    assert_eq!(own_job(&bench.client("blind"), &by_runner()).await, None);
}

#[tokio::test(start_paused = true)]
async fn only_a_newer_commit_of_the_same_branch_supersedes() {
    let bench = Bench::new();
    let own = OwnRun { id: 7001, workflow: "release.yml".into(), branch: "main".into(), sha: bench.sha.clone() };
    let census = GitHubCensus::new(bench.client("job"), Some(own));
    assert_eq!(census.newer().await, None);
    let newer = bench.embedded.seed_commit(REPOSITORY, "main", CommitSeed { message: "second".into(), ..CommitSeed::default() }).unwrap();
    bench.run(6999, "release.yml", "push", "main", &newer);
    bench.run(7002, "release.yml", "push", "topic", &newer);
    bench.run(7003, "other.yml", "push", "main", &newer);
    // A fork's branch of the same name.
    bench.run(7004, "release.yml", "pull_request", "main", &newer);
    bench.run(7005, "release.yml", "workflow_dispatch", "main", &bench.sha);
    assert_eq!(census.newer().await, None);
    bench.calls();
    bench.run(7006, "release.yml", "push", "main", &newer);
    for status in ["queued", "waiting", "pending", "in_progress"] {
        bench.embedded.set_run_status(REPOSITORY, 7006, status);
        let found = census.newer().await.unwrap();
        let expected = format!("run 6 of release.yml at {} (https://github.com/alma/shop/actions/runs/7006)", &newer[..12]);
        assert_eq!(found, expected, "{status}");
    }
    assert_eq!(bench.calls().len(), 4);
    bench.embedded.set_run_status(REPOSITORY, 7006, "completed");
    assert_eq!(census.newer().await, None);
    bench.embedded.set_run_status(REPOSITORY, 7006, "queued");
    bench.world.ground().faults.set(Rule::at("github.*", Effect::None, Answer::Lost).unwrap().times(Times::Forever));
    assert_eq!(census.newer().await, None, "no answer supersedes nobody");
    assert_eq!(GitHubCensus::new(bench.client("job"), None).newer().await, None);
    let file = OwnRun::workflow_file("alma/shop/.github/workflows/release.yml@refs/heads/main");
    assert_eq!(file.as_deref(), Some("release.yml"));
}
