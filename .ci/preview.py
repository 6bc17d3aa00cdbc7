#!/usr/bin/env python3
"""The life of a pull request of AutoSWE: opened, pushed to, closed, swept, on the built-in platforms and by the binary itself.

preview.py BINARY DIRECTORY (containers|simulated)

The previews are asked at the edges as a browser would ask them: with real containers the backend answers the front end's origin, and no other.
"""
import http.client
import json
import os
import subprocess
import sys
import tempfile

REPOSITORY = "rehearsal/product"
NUMBER = 7


def fail(text):
    sys.exit(f"FAILED: {text}")


def sandbox(binary, directory, machines):
    """Begins the platforms; returns the process and the variables that point at them."""
    command = [binary, "sandbox", directory, "--quiet", "--format", "json", "--pull-request", "--earlier"]
    command += ["--engine"] if machines == "containers" else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.rstrip() == "}":
            break
    return process, json.loads("".join(lines))


def ask(address, host, path, headers=None, method="GET", body=None):
    """Asks a loopback address as `host`; returns status, headers and text."""
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request(method, path, body, {"Host": host, "User-Agent": "cutover-ci", **(headers or {})})
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()


class Life:
    def __init__(self, binary, directory, variables, scratch):
        self.binary, self.directory, self.variables, self.scratch = binary, directory, variables, scratch
        self.edge = variables["CUTOVER_EDGES"].split(",")[0]
        self.runs = 0

    def github(self, method, path, body=None):
        address = self.variables["GITHUB_API_URL"].removeprefix("http://")
        headers = {"Authorization": f"Bearer {self.variables['GITHUB_TOKEN']}", "Content-Type": "application/json"}
        status, _, text = ask(address, address, f"/repos/{REPOSITORY}{path}", headers, method, json.dumps(body) if body else None)
        if status >= 300:
            fail(f"GitHub answered {method} {path} with {status}: {text}")
        return json.loads(text)

    def cutover(self, event, payload, *arguments):
        """Runs the binary as a job of a workflow would; returns its exit code and what it told."""
        self.runs += 1
        path = os.path.join(self.scratch, f"event-{self.runs}.json")
        with open(path, "w") as file:
            json.dump(payload, file)
        sha = self.github("GET", "/git/ref/heads/topic")["object"]["sha"]
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment |= {name: os.environ[name] for name in ("CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "DOCKER_HOST") if name in os.environ}
        environment |= self.variables
        # The job of the previews has the credentials of its own environment.
        environment["FLY_API_TOKEN"] = self.variables["PREVIEW_FLY_API_TOKEN"]
        environment |= {name: f"of-the-previews-{name.lower()}" for name in ("GOOGLE_CLIENT_ID", "SESSION_SECRET", "STRIPE_WEBHOOK_SECRET")}
        environment |= {
            "CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": event, "GITHUB_EVENT_PATH": path, "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_REF": f"refs/pull/{NUMBER}/merge", "GITHUB_SHA": sha, "GITHUB_RUN_ID": str(self.runs), "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_JOB": "preview", "GITHUB_SERVER_URL": "https://github.com",
        }
        ended = subprocess.run([self.binary, *arguments], cwd=self.directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return ended.returncode, ended.stdout

    def show(self):
        sha = self.github("GET", "/git/ref/heads/topic")["object"]["sha"]
        side = lambda reference, sha: {"ref": reference, "sha": sha, "repo": {"id": 1, "full_name": REPOSITORY}}
        payload = {"action": "synchronize", "number": NUMBER,
                   "pull_request": {"number": NUMBER, "head": side("topic", sha), "base": side("main", "0" * 40)}}
        code, told = self.cutover("pull_request", payload, "preview")
        if code != 0:
            fail(f"cutover preview ended with {code}\n{told}")
        return sha

    def push(self):
        """Makes another commit on the pull request's branch, as a push does."""
        head = self.github("GET", "/git/ref/heads/topic")["object"]["sha"]
        tree = self.github("GET", f"/git/commits/{head}")["tree"]["sha"]
        made = self.github("POST", "/git/commits", {"message": "Another push", "tree": tree, "parents": [head]})["sha"]
        self.github("PATCH", "/git/refs/heads/topic", {"sha": made, "force": False})

    def halves_talk(self, machines):
        api, web = f"autoswe-pr-{NUMBER}.fly.dev", f"autoswe-web-pr-{NUMBER}.vercel.app"
        status, _, settings = ask(self.edge, web, "/settings.js")
        if status != 200 or f"https://{api}" not in settings:
            fail(f"the front end at {web} does not know {api}: {status} {settings}")
        status, headers, text = ask(self.edge, api, "/api/version", {"Origin": f"https://{web}"})
        if status != 200:
            fail(f"the backend at {api} answers {status}: {text}")
        if machines == "containers":
            if headers.get("access-control-allow-origin") != f"https://{web}":
                fail(f"the backend does not allow the front end's origin: {headers}")
            _, stranger, _ = ask(self.edge, api, "/api/version", {"Origin": "https://autoswe.vercel.app"})
            if "access-control-allow-origin" in stranger:
                fail("the backend allows an origin that is not its front end's")

    def deployments(self):
        newest = lambda id: self.github("GET", f"/deployments/{id}/statuses?per_page=1")[0]
        ours = [it for it in self.github("GET", "/deployments?per_page=100") if it["environment"] == f"preview-pr-{NUMBER}"]
        return [(it["sha"], newest(it["id"])["state"], newest(it["id"])["environment_url"]) for it in ours]

    def left(self):
        """Returns what stands of the preview, asked of the platforms as anybody would."""
        flaps = self.variables["FLY_FLAPS_BASE_URL"].removeprefix("http://")
        token = {"Authorization": f"Bearer {self.variables['PREVIEW_FLY_API_TOKEN']}"}
        apps = json.loads(ask(flaps, flaps, "/v1/apps?org_slug=autoswe-previews", token)[2])["apps"]
        vercel = self.variables["VERCEL_API_URL"].removeprefix("http://")
        token = {"Authorization": f"Bearer {self.variables['VERCEL_TOKEN']}"}
        listed = json.loads(ask(vercel, vercel, f"/v6/deployments?projectId=autoswe&teamId={self.variables['VERCEL_ORG_ID']}", token)[2])
        previews = [it for it in listed["deployments"] if it.get("target") is None]
        return [app["name"] for app in apps] + [it["uid"] for it in previews]


def main():
    binary, directory, machines = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
    with tempfile.TemporaryDirectory() as scratch:
        process, variables = sandbox(binary, directory, machines)
        try:
            life = Life(binary, directory, variables, scratch)
            first = life.show()
            life.halves_talk(machines)
            if [(sha, state) for sha, state, _ in life.deployments()] != [(first, "success")]:
                fail(f"the deployment is not on the head commit: {life.deployments()}")
            life.push()
            second = life.show()
            life.halves_talk(machines)
            seen = life.deployments()
            if [(sha, state) for sha, state, _ in seen] != [(second, "success"), (first, "inactive")]:
                fail(f"after the second push the deployments are {seen}")
            if seen[0][2] != f"https://autoswe-web-pr-{NUMBER}.vercel.app":
                fail(f"View deployment leads to {seen[0][2]}")
            if len(life.left()) != 2:
                fail(f"an app and a deployment are to stand, and these do: {life.left()}")
            life.github("PATCH", f"/pulls/{NUMBER}", {"state": "closed"})
            code, told = life.cutover("schedule", {"schedule": "43 * * * *"}, "sweep")
            if code != 0 or life.left():
                fail(f"after the sweep ({code}) these are left: {life.left()}\n{told}")
            if any(state != "inactive" for _, state, _ in life.deployments()):
                fail(f"a deployment is still active: {life.deployments()}")
            comments = life.github("GET", f"/issues/{NUMBER}/comments")
            if len(comments) != 1:
                fail(f"{len(comments)} comments on the pull request")
            print(f"opened, pushed to, closed, swept: {machines}; 1 comment, {len(seen)} deployments, all inactive; nothing is left")
        finally:
            process.terminate()
            process.wait(timeout=60)


main()
