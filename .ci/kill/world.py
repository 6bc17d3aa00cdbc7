"""A sandbox with a proxy in front of every address of it, and what its platforms and edges say when they are asked by a stranger."""

import asyncio
import http.client
import json
import os
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
        self.folder.mkdir()
        self.state = self.folder / "state"
        self.proxy, self.process = Proxy(), None

    async def begin(self):
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

    def environment(self, more=None):
        return {**clean(), **self.variables, "CUTOVER_STATE_DIR": str(self.state), "CUTOVER_JOURNAL": "file", **(more or {})}

    # What a stranger sees.

    def fly(self, path):
        return ask(self.real["FLY_FLAPS_BASE_URL"], f"/v1/apps/kill-api/{path}", self.real["FLY_API_TOKEN"])[1]

    def vercel(self, path):
        joint = "&" if "?" in path else "?"
        return ask(self.real["VERCEL_API_URL"], f"{path}{joint}teamId={self.real['VERCEL_ORG_ID']}", self.real["VERCEL_TOKEN"])[1]

    def github(self, path):
        return ask(self.real["GITHUB_API_URL"], path, self.real["GITHUB_TOKEN"])

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
        for machine in self.fly("machines"):
            lease = ask(self.real["FLY_FLAPS_BASE_URL"], f"/v1/apps/kill-api/machines/{machine['id']}/lease", self.real["FLY_API_TOKEN"])
            env = machine["config"].get("env", {})
            found[f"machine {machine['id']}"] = [
                machine["state"], machine["image_ref"]["digest"], machine["region"], f"cordoned {machine['cordoned']}",
                f"services {len(machine['config'].get('services') or [])}", env.get("CUTOVER_RELEASE", "-"), f"leased {lease[0] == 200}",
            ]
        for site in self.product.sites:
            project = self.vercel(f"/v9/projects/prj_kill{site}")
            changing = ("targets", "updatedAt", "latestDeployments", "lastRollbackTarget", "lastAliasRequest")
            found[f"project {site}"] = {name: value for name, value in project.items() if name not in changing}
            found[f"serving {site}"] = project["targets"].get("production", {}).get("id")
            for deployment in self.vercel(f"/v6/deployments?projectId=prj_kill{site}&limit=100")["deployments"]:
                found[f"deployment {site} {deployment['uid']}"] = [deployment["state"], deployment.get("meta", {}).get("cutoverRelease", "-")]
        return found


def ask(base, path, token, host=None):
    """Asks by GET; returns the status, and the answer, parsed where it is JSON."""
    url = urllib.parse.urlsplit(base)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    try:
        headers = {**({"authorization": f"Bearer {token}"} if token else {}), **({"host": host} if host else {})}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text


class Journal:
    """The file journal, read by nobody's code but this."""

    def __init__(self, world):
        self.path = world.state / "journal/kill/production.jsonl"

    def bytes(self):
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    async def records(self):
        return [json.loads(line[17:]) for line in self.bytes().split(b"\n")[:-1]]

    def tear(self, cut):
        """Cuts the last record short, as a death in the middle of writing it leaves it."""
        whole = self.bytes()
        last = whole.rstrip(b"\n").rfind(b"\n") + 1
        os.truncate(self.path, last + int((len(whole) - 1 - last) * cut) + (1 if cut > 0 else 0))


def committed(records, release):
    current = None
    for record in records:
        current = record["entry"]["release"] if record["entry"]["is"] == "begun" else current
        if current == release and record["entry"]["is"] == "committed":
            return True
    return False
