"""A sandbox with a proxy in front of every address of it, and what its platforms and edges say when they are asked by a stranger."""

import asyncio
import base64
import http.client
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.parse

from product import clean
from proxy import Proxy

# What points cutover at a platform, and what the proxy calls it.
ADDRESSES = {"FLY_FLAPS_BASE_URL": "fly", "FLY_API_BASE_URL": "fly-api", "VERCEL_API_URL": "vercel", "GITHUB_API_URL": "github"}


class World:
    """One sandbox, begun with `begin` and ended with `end`."""

    def __init__(self, cutover, product, folder, number):
        self.cutover, self.product, self.number = cutover, product, number
        self.folder = folder / f"world-{number}"
        self.state = self.folder / "state"
        self.process, self.jobs = None, 0

    def spent(self):
        """How many requests GitHub has had from this world's token."""
        return self.asked + self.proxy.total("github")

    async def begin(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.proxy, self.asked = Proxy(), 0
        out = self.folder / "variables.json"
        with open(out, "wb") as variables, open(self.folder / "sandbox.log", "wb") as log:
            words = [self.cutover, "sandbox", str(self.product.shop), "--earlier", "--format", "json"]
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=variables, stderr=log, env=clean())
        until = time.monotonic() + 30
        while True:
            try:
                self.real = json.loads(out.read_text())
                break
            except ValueError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"the sandbox did not begin: {(self.folder / 'sandbox.log').read_text()}") from None
                await asyncio.sleep(0.05)
        self.edges = [edge.rsplit(":", 1) for edge in self.real["CUTOVER_EDGES"].split(",")]
        self.variables = dict(self.real)
        for name, platform in ADDRESSES.items():
            url = urllib.parse.urlsplit(self.real[name])
            self.variables[name] = f"http://127.0.0.1:{await self.proxy.front(platform, url.hostname, url.port)}"
        self.variables["FLY_UIEX_BASE_URL"] = self.variables["FLY_API_BASE_URL"]
        self.variables["GITHUB_GRAPHQL_URL"] = self.variables["GITHUB_API_URL"] + "/graphql"
        host, port = self.real["FLY_REGISTRY_HOST"].rsplit(":", 1)
        self.variables["FLY_REGISTRY_HOST"] = f"127.0.0.1:{await self.proxy.front('registry', host, int(port))}"
        fronts = [await self.proxy.front(f"edge-{n}", host, int(port)) for n, (host, port) in enumerate(self.edges)]
        self.variables["CUTOVER_EDGES"] = ",".join(f"127.0.0.1:{port}" for port in fronts)

    async def end(self):
        await self.proxy.end()
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def machine(self):
        """The environment of a person's machine: the journal is a file."""
        return {**clean(), **self.variables, "CUTOVER_STATE_DIR": str(self.state), "CUTOVER_JOURNAL": "file"}

    def runner(self, event, job):
        """The environment of a fresh runner of GitHub Actions, and its empty working folder; the journal is a ref."""
        self.jobs += 1
        place = self.folder / f"runner-{self.jobs}"
        (place / "work").mkdir(parents=True)
        payload = {"repository": {"id": 1, "full_name": "rehearsal/product", "default_branch": "main"}, "ref": "refs/heads/main"}
        commit = self.product.commit
        payload |= {
            "push": {"after": commit, "before": "0" * 40, "head_commit": {"id": commit, "message": "The product"}},
            "schedule": {"schedule": "*/15 * * * *"},
            "workflow_run": {"action": "completed", "workflow_run": {"head_repository": {"id": 1}, "id": 1000 + self.jobs - 1, "head_branch": "main", "head_sha": commit, "event": "push", "conclusion": "failure"}},
        }[event]
        (place / "event.json").write_text(json.dumps(payload))
        actions = {
            "ACTIONS": "true", "EVENT_NAME": event, "EVENT_PATH": str(place / "event.json"), "REF": "refs/heads/main", "REF_NAME": "main",
            "SHA": self.product.commit, "REPOSITORY": "rehearsal/product", "RUN_ID": str(1000 + self.jobs), "RUN_ATTEMPT": "1", "JOB": job,
            "WORKFLOW_REF": f"rehearsal/product/.github/workflows/{job}.yml@refs/heads/main", "OUTPUT": str(place / "output"),
            "STEP_SUMMARY": str(place / "summary"), "SERVER_URL": "https://github.com",
        }  # fmt: skip
        environment = {**clean(), **self.variables, **{f"GITHUB_{name}": value for name, value in actions.items()}}
        environment |= {"RUNNER_NAME": f"runner-{self.jobs}", "CUTOVER_STATE_DIR": str(place / "state"), "CUTOVER_QUARANTINE": "500ms"}
        return environment, place / "work"

    # What a stranger sees.

    def fly(self, path):
        return ask(self.real["FLY_FLAPS_BASE_URL"], f"/v1/apps/kill-api/{path}", self.real["FLY_API_TOKEN"])[1]

    def vercel(self, path):
        joint = "&" if "?" in path else "?"
        return ask(self.real["VERCEL_API_URL"], f"{path}{joint}teamId={self.real['VERCEL_ORG_ID']}", self.real["VERCEL_TOKEN"])[1]

    def github(self, path):
        self.asked += 1
        return ask(self.real["GITHUB_API_URL"], "/repos/rehearsal/product" + path, self.real["GITHUB_TOKEN"])

    # What a stranger breaks, so that whoever judges can be judged.

    def break_setting(self):
        """Changes a setting that a release changes and puts back."""
        project = self.vercel("/v9/projects/prj_killweb")
        self.change("VERCEL", "/v9/projects/prj_killweb", "PATCH", {"autoAssignCustomDomains": not project["autoAssignCustomDomains"]})

    def break_side(self):
        """Lets one site serve another deployment than it does."""
        serving = self.vercel("/v9/projects/prj_killweb")["targets"]["production"]["id"]
        others = [each["uid"] for each in self.vercel("/v6/deployments?projectId=prj_killweb&limit=100")["deployments"] if each["uid"] != serving]
        self.change("VERCEL", f"/v10/projects/prj_killweb/promote/{others[0]}", "POST", {})

    def break_leftover(self):
        """Leaves a machine that serves nobody."""
        machine = self.fly("machines")[0]
        body = {"config": machine["config"], "region": machine["region"], "skip_service_registration": True}
        self.change("FLY", "/v1/apps/kill-api/machines", "POST", body)

    def change(self, platform, path, method, body):
        if platform == "VERCEL":
            path += f"?teamId={self.real['VERCEL_ORG_ID']}"
        base, token = {"VERCEL": ("VERCEL_API_URL", "VERCEL_TOKEN"), "FLY": ("FLY_FLAPS_BASE_URL", "FLY_API_TOKEN")}[platform]
        status, answer = ask(self.real[base], path, self.real[token], None, method, body)
        if status >= 300:
            raise SystemExit(f"{method} {path}: {status} {answer}")

    def served(self, target, edge):
        """What an edge shows of a target: A or B, or what is wrong with it."""
        host = self.product.hosts()[target]
        try:
            status, text = ask(f"http://{':'.join(self.edges[edge])}", "/version" if target == "api" else "/", None, host)
        except OSError as error:
            return f"nothing ({error!r})"
        if status != 200:
            return f"status {status}"
        if target == "api":
            digest = text["image"].rpartition("@")[2]
            return next((content for content, known in self.product.images.items() if known == digest), f"another image, {digest}")
        marker = "<p>content "
        return text.partition(marker)[2][:1] if marker in text else "another page"

    def all_served(self):
        """What every target shows, by target; one value each when all edges agree."""
        seen = {target: {self.served(target, edge) for edge in range(len(self.edges))} for target in self.product.hosts()}
        return {target: contents.pop() if len(contents) == 1 else f"mixed {sorted(contents)}" for target, contents in seen.items()}

    def inventory(self):
        """Everything that is there, in a form in which equal worlds are equal."""
        found = {}
        for machine in self.fly("machines") if self.product.image else []:
            lease = ask(self.real["FLY_FLAPS_BASE_URL"], f"/v1/apps/kill-api/machines/{machine['id']}/lease", self.real["FLY_API_TOKEN"])
            env = machine["config"].get("env", {})
            found[f"machine {machine['id']}"] = [
                machine["state"], machine["image_ref"]["digest"], machine["region"], f"cordoned {machine['cordoned']}",
                f"services {len(machine['config'].get('services') or [])}", env.get("CUTOVER_RELEASE", "-"), f"leased for long {outlasts(lease)}",
            ]
        for site in self.product.sites:
            project = self.vercel(f"/v9/projects/prj_kill{site}")
            changing = ("targets", "updatedAt", "latestDeployments", "lastRollbackTarget", "lastAliasRequest")
            found[f"project {site}"] = {name: value for name, value in project.items() if name not in changing}
            found[f"serving {site}"] = project["targets"].get("production", {}).get("id")
            for deployment in self.vercel(f"/v6/deployments?projectId=prj_kill{site}&limit=100")["deployments"]:
                found[f"deployment {site} {deployment['uid']}"] = [deployment["state"], deployment.get("meta", {}).get("cutoverRelease", "-")]
        return found


def outlasts(lease):
    """Whether a lease is held for longer than a dead runner's may be: that one ends by itself within 13 s."""
    return lease[0] == 200 and lease[1]["data"]["expires_at"] - time.time() > 14


def ask(base, path, token, host=None, method="GET", body=None):
    """Asks; returns the status, and the answer, parsed where it is JSON."""
    url = urllib.parse.urlsplit(base)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    try:
        headers = {"user-agent": "ci", **({"authorization": f"Bearer {token}"} if token else {}), **({"host": host} if host else {})}
        content = json.dumps(body) if body is not None else None
        connection.request(method, path, content, {**headers, **({"content-type": "application/json"} if body is not None else {})})
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text


class FileJournal:
    """The journal in a file, read by nobody's code but this."""

    def __init__(self, world):
        self.path = world.state / "journal/kill/production.jsonl"

    def bytes(self):
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    def newest(self):
        """The records of the newest release, the first of them `begun`."""
        records = [json.loads(line[17:]) for line in self.bytes().split(b"\n")[:-1]]
        return since_begun(records)

    def tear(self, record, cut):
        """Cuts the journal short inside a record, as a death in the middle of writing it leaves it; `cut` is 0 for its first byte, 1 for its last."""
        lines = self.bytes().split(b"\n")[: record]
        start, length = sum(len(line) + 1 for line in lines[:-1]), len(lines[-1])
        os.truncate(self.path, start + max(1, int(length * cut)))


class RefJournal:
    """The journal in a ref of the repository, read over GitHub's API by nobody's code but this."""

    def __init__(self, world):
        self.world = world

    def newest(self):
        status, ref = self.world.github("/git/ref/cutover/kill/production")
        if status == 404:
            return []
        records, sha = [], ref["object"]["sha"]
        while sha:
            commit = self.world.github(f"/git/commits/{sha}")[1]
            record = json.loads(commit["message"].rstrip().rpartition("\n")[2])
            if "entry" not in record:
                content = self.world.github(f"/contents/{record['file']}?ref={sha}")[1]["content"]
                record = json.loads(base64.b64decode(content))
            records.insert(0, record)
            if record["entry"]["is"] == "begun":
                break
            sha = commit["parents"][0]["sha"] if commit["parents"] else None
        return since_begun(records)


def since_begun(records):
    begun = max((at for at, record in enumerate(records) if record["entry"]["is"] == "begun"), default=0)
    return records[begun:]


def release_of(records):
    """The release that these records are of."""
    return records[0]["entry"].get("release") if records else None


def committed(records):
    return any(record["entry"]["is"] == "committed" for record in records)


def nonces(records):
    return [record["nonce"] for record in records]
