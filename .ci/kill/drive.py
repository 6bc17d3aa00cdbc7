"""Kills the release binary at every request of a release, recovers, and judges the world by what its own addresses say.

    drive.py CUTOVER [--journal file|github] [--seconds N] [--workers N] [--only NAME] [--moment MOMENT]

A case is a request by its name and a moment of it, or the tearing of a journal's record, or a point in time. `--only` replays one.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import string
import tempfile
import time

from product import Product
from proxy import MOMENTS
from world import FileJournal, RefJournal, World, committed, nonces, release_of

LIMIT = 100.0


class Wrong(Exception):
    """The world is not as it has to be."""


class Driver:
    """Works in one world, release after release."""

    def __init__(self, world, kind):
        self.world, self.kind = world, kind
        self.journal = FileJournal(world) if kind == "file" else RefJournal(world)
        self.serving, self.runs, self.released = None, 0, 0
        self.troubles, self.last = [], []

    async def spawn(self, words, place, run_words=None, delay=None):
        """Runs cutover; returns its exit code and what the proxy saw. Killed by SIGKILL where the run says so, or after `delay`."""
        self.runs += 1
        log = self.world.folder / "last.log"
        run = self.world.proxy.begin()
        with open(log, "wb") as out:
            process = await asyncio.create_subprocess_exec(
                self.world.cutover, *words, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out,
                env=place[0], cwd=place[1],
            )  # fmt: skip

        async def kill():
            # By its id: the library would look first whether it has ended, and take its exit code away from whoever waits for it.
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            await process.wait()

        run.kill = kill
        if run_words and isinstance(run_words.get("hook"), Torn):
            run_words["hook"].kill = kill
        for name, value in (run_words or {}).items():
            setattr(run, name, value)
        try:
            if delay is not None:
                try:
                    await asyncio.wait_for(process.wait(), delay)
                except TimeoutError:
                    await kill()
            await asyncio.wait_for(process.wait(), LIMIT)
        except TimeoutError:
            await kill()
            raise Wrong(f"{words[0]} did not end within {LIMIT:.0f} s") from None
        await asyncio.sleep(0)
        return process.returncode, run

    def release_words(self, content):
        shop = self.world.product.shop
        return ["release", "production", "--manifest", str(shop / "cutover.yml"), "--artifacts", str(self.world.product.artifacts[content]), "--skip-gates"]

    async def release(self, content, **more):
        """A release of a content: on this machine, or as a job of a workflow."""
        place = (self.world.machine(), self.world.product.shop) if self.kind == "file" else self.world.runner("push", "release")
        return await self.spawn(self.release_words(content), place, **more)

    async def recover(self, event="schedule", **more):
        """A recovery: on the same machine, or as a job on a fresh runner in an empty folder, with nothing but the repository's token."""
        receipt = self.world.folder / "recovered.json"
        receipt.unlink(missing_ok=True)
        place = (self.world.machine(), self.world.folder) if self.kind == "file" else self.world.runner(event, "recover")
        code, run = await self.spawn(["recover", "production", "--receipt", str(receipt)], place, **more)
        return code, run, json.loads(receipt.read_text()) if receipt.exists() else {}

    def next(self):
        """The content to release next: as long as there are some, one that no platform has seen."""
        self.released += 1
        contents = [content for content in self.world.product.contents if content != self.serving]
        return contents[self.released % len(contents)]

    async def settle(self):
        """Brings the world to where a case can begin: a content has been released once, so that the journal knows what serves."""
        self.serving = self.next()
        code, run = await self.release(self.serving)
        if code:
            raise SystemExit(f"a fault-free release ended with {code}:\n{self.tail()}")
        return run

    async def anew(self):
        """Begins with a fresh sandbox."""
        await self.world.end()
        await self.world.begin()
        self.serving = None
        await self.settle()

    def tail(self):
        return (self.world.folder / "last.log").read_text(errors="replace")[-6000:]

    async def case(self, case):
        """Plays one case and judges it; returns whether the kill fell."""
        before, after = self.serving, self.next()
        inventory = await asyncio.to_thread(self.world.inventory)
        known = release_of(await asyncio.to_thread(self.journal.newest))
        watcher = asyncio.create_task(self.watch({before, after}))
        steps = []
        try:
            fell = await self.break_release(case, after)
            steps.append(self.tail())
            if case.get("again"):
                fell &= await self.break_recovery(case["again"])
                steps.append(self.tail())
            records = await asyncio.to_thread(self.journal.newest)
            release = release_of(records) if release_of(records) != known else None
            done = release is not None and committed(records)
            code, run, receipt = await self.recover()
            self.last = [f"{seen.name} {seen.status}" for seen in run.seen]
            steps.append(self.tail())
            await self.judge(after if done else before, inventory, release, done, code, receipt)
            await self.quiet()
            if self.troubles:
                raise Wrong(f"users saw {self.troubles[:3]}")
        except Wrong as wrong:
            requests = "\n".join(self.last[:60])
            raise Wrong(f"{wrong}\n--- " + "\n--- ".join(steps) + f"\n--- {requests}") from None
        finally:
            watcher.cancel()
            self.serving = await asyncio.to_thread(self.world.served, "api", 0)
        return fell

    async def break_release(self, case, after):
        kind = case["kind"]
        if kind == "request":
            _, run = await self.release(after, run_words={"name": case["name"], "moment": case["moment"]})
            return run.killed_at is not None
        if kind == "time":
            code, _ = await self.release(after, delay=case["delay"])
            return code < 0
        torn = Torn(self.journal, case["record"], case["cut"])
        await self.release(after, run_words={"hook": torn})
        return torn.ended()

    async def break_recovery(self, again):
        _, run, _ = await self.recover(run_words={"name": again["name"], "moment": again["moment"]})
        return run.killed_at is not None

    async def judge(self, side, inventory, release, done, code, receipt):
        if code:
            raise Wrong(f"recover ended with {code}")
        wanted = {target: side for target in self.world.product.hosts()}
        until = time.monotonic() + 2
        while (served := await asyncio.to_thread(self.world.all_served)) != wanted and time.monotonic() < until:
            await asyncio.sleep(0.1)
        if served != wanted:
            raise Wrong(f"{served} instead of {side} on every target ({'' if done else 'not '}committed)")
        now = await asyncio.to_thread(self.world.inventory)
        records = await asyncio.to_thread(self.journal.newest)
        if records and records[-1]["state"]["open"]:
            raise Wrong(f"the journal's release {release_of(records)} is still open")
        if not done and now != inventory:
            raise Wrong("not as it was before: " + difference(inventory, now))
        if done:
            if shape(now, release) != shape(inventory, None):
                raise Wrong("something was left: " + difference(shape(inventory, None), shape(now, release)))
            if left := surplus(inventory, now, release):
                raise Wrong(f"deployments were left: {left}")
        if receipt.get("serving") == "after" and not done or receipt.get("serving") in ("mixed", "unknown"):
            raise Wrong(f"the receipt says {receipt.get('outcome')}, {receipt.get('serving')}")

    async def quiet(self):
        """A second recovery changes nothing, the journal included."""
        before = nonces(await asyncio.to_thread(self.journal.newest))
        code, run, _ = await self.recover()
        if code or run.writes():
            raise Wrong(f"a second recover ended with {code} and wrote {[seen.name for seen in run.writes()]}")
        if nonces(await asyncio.to_thread(self.journal.newest)) != before:
            raise Wrong("a second recover wrote into the journal")

    async def watch(self, contents):
        """Asks the edges all the time: at no instant may a target serve anything but the one or the other."""
        self.troubles, turn, began = [], 0, time.monotonic()
        targets = list(self.world.product.hosts())
        while True:
            target, edge = targets[turn % len(targets)], turn // len(targets) % len(self.world.edges)
            seen = await asyncio.to_thread(self.world.served, target, edge)
            if seen not in contents:
                self.troubles.append(f"{target} at edge {edge} after {time.monotonic() - began:.2f} s: {seen}")
            turn += 1
            await asyncio.sleep(0.04)


class Torn:
    """Kills right before the first request after a release's record number `record`, and cuts the journal in the middle of that record."""

    def __init__(self, journal, record, cut):
        self.journal, self.record, self.cut, self.fell, self.kill = journal, record, cut, False, None
        self.old = journal.bytes().count(b"\n")

    async def __call__(self, seen):
        if not self.fell and self.journal.bytes().count(b"\n") >= self.old + self.record:
            await self.kill()
            self.ended()
        return self.fell

    def ended(self):
        """Tears the record, once it is there: the last one is followed by no request. Returns whether it was torn."""
        if not self.fell and self.journal.bytes().count(b"\n") >= self.old + self.record:
            self.fell = True
            self.journal.tear(self.old + self.record, self.cut)
        return self.fell


def difference(before, after):
    lines = [f"{name}: {before.get(name)} -> {after.get(name)}" for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    return "; ".join(lines)[:1500]


def shape(inventory, release):
    """What is there beside deployments, without the vendor's ids: machines with the release they are of, and settings."""
    own = release or next((words[5] for name, words in inventory.items() if name.startswith("machine ")), "-")
    found = {}
    for name, value in inventory.items():
        if name.startswith("machine "):
            value = [value[0], *value[2:5], "it" if value[5] == own else value[5], value[6]]
            found.setdefault("machines", []).append(value)
        elif name.startswith("project "):
            found[name] = value
    return found


def surplus(before, now, release):
    """Deployments that a committed release may not leave: any new one but one of its own for each project, which serves."""
    new = [name for name in now if name.startswith("deployment ") and name not in before]
    return [name for name in new if now[name][1] != release or now[f"serving {name.split()[1]}"] != name.split()[2]]


def cases_of(run, records, chance, journal):
    """Every request with every moment, writes first and spread evenly; then torn records and points in time."""
    requests = [{"kind": "request", "name": seen.name, "moment": moment} for seen in run.seen for moment in MOMENTS]
    names = {seen.name for seen in run.writes()}
    writes = [case for case in requests if case["name"] in names]
    reads = [case for case in requests if case["name"] not in names]
    chance.shuffle(writes)
    chance.shuffle(reads)
    torn = [{"kind": "torn", "record": record, "cut": cut} for record in range(1, records + 1) for cut in (0.0, chance.random(), 1.0)]
    seconds = run.seen[-1].at - run.seen[0].at
    times = [{"kind": "time", "delay": round(seconds * (n + chance.random()) / 20, 6)} for n in range(20)]
    return {"writes": writes, **({"torn": torn} if journal == "file" else {}), "times": times, "reads": reads}


async def again_cases(drivers, run, chance):
    """Deaths during the recovery from a death: for some deaths of a release, the requests of the recovery after it."""

    async def after(pattern, driver):
        name = next((seen.name for seen in run.writes() if re.fullmatch(pattern, seen.name)), None)
        if name is None:
            raise SystemExit(f"no request of a release is like {pattern}")
        first = {"kind": "request", "name": name, "moment": "after"}
        await driver.break_release(first, driver.next())
        _, recovered, _ = await driver.recover()
        driver.serving = await asyncio.to_thread(driver.world.served, "api", 0)
        deaths = [{"name": seen.name, "moment": moment} for seen in recovered.writes() for moment in ("before", "after")]
        reads = [seen for seen in recovered.seen if not seen.write and not seen.platform.startswith("edge")]
        deaths += [{"name": seen.name, "moment": "after"} for seen in chance.sample(reads, min(6, len(reads)))]
        return [{**first, "again": again} for again in deaths]

    # In the middle of one target's move, after the first of two sites has moved, and after the commit.
    patterns = (r"fly POST .*/uncordon #1", r"vercel POST .*/promote/.* #1", r"fly POST .*/stop #1")
    found = await asyncio.gather(*(after(pattern, drivers[at % len(drivers)]) for at, pattern in enumerate(patterns)))
    found = [case for cases in found for case in cases]
    chance.shuffle(found)
    return found


async def control(driver):
    """The judge must refuse a world that was broken on purpose, and accept it before."""
    for breaking in ("break_side", "break_leftover", "break_setting"):
        inventory = await asyncio.to_thread(driver.world.inventory)
        records = await asyncio.to_thread(driver.journal.newest)
        words = (driver.serving, inventory, release_of(records), False, 0, {})
        await driver.judge(*words)
        await asyncio.to_thread(getattr(driver.world, breaking))
        await asyncio.sleep(0.5)
        try:
            await driver.judge(*words)
        except Wrong as wrong:
            print(f"control, {breaking}: refused, {str(wrong)[:110]}", flush=True)
        else:
            raise SystemExit(f"the judge accepts a world after {breaking}")
        await driver.anew()


async def work(driver, queue, tally, until):
    while queue and time.monotonic() < until:
        group, case = queue.pop(0)
        began = time.monotonic()
        try:
            fell = await driver.case(case)
            tally.setdefault(group, []).append(fell)
        except Wrong as wrong:
            tally.setdefault(group, []).append(True)
            tally.setdefault("wrong", []).append(case)
            print(f"WRONG: {json.dumps(case)}\n{wrong}\n", flush=True)
            await driver.anew()
        if driver.world.spent() > 750:
            # An installation's token has a thousand requests an hour.
            await driver.anew()
        if os.environ.get("KILL_VERBOSE"):
            print(f"{group} {json.dumps(case)} {time.monotonic() - began:.1f} s", flush=True)


async def main():
    words = argparse.ArgumentParser()
    words.add_argument("cutover")
    words.add_argument("--journal", choices=("file", "github"), default="file")
    words.add_argument("--seconds", type=float, default=240)
    words.add_argument("--workers", type=int, default=12)
    words.add_argument("--only")
    words.add_argument("--moment", default="after")
    words.add_argument("--seed", type=int, default=1)
    words = words.parse_args()
    chance = random.Random(words.seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kill-"))
    worlds = []
    try:
        product = Product(os.path.abspath(words.cutover), folder, contents=string.ascii_uppercase)
        for number in range(1 if words.only else words.workers):
            worlds.append(World(os.path.abspath(words.cutover), product, folder, number))
            await worlds[-1].begin()
        drivers = [Driver(world, words.journal) for world in worlds]
        began = time.monotonic()
        run = (await asyncio.gather(*(driver.settle() for driver in drivers)))[0]
        records = len(drivers[0].journal.newest())
        print(f"a release without a fault: {len(run.seen)} requests, {len(run.writes())} writes, {records} records, {run.seen[-1].at - run.seen[0].at:.1f} s", flush=True)
        if words.only:
            groups = {"only": [{"kind": "request", "name": words.only, "moment": words.moment}]}
        else:
            groups = cases_of(run, records, chance, words.journal)
            groups["again"] = await again_cases(drivers, run, chance)
        # What changes nothing comes last, deaths of recoveries in turn with it.
        last = [[(group, case) for case in groups.pop(group, [])] for group in ("again", "reads")]
        queue = [(group, case) for group, cases in groups.items() for case in cases]
        queue += [case for pair in itertools.zip_longest(*last) for case in pair if case]
        groups |= {group: cases for group, cases in zip(("again", "reads"), ([case for _, case in cases] for cases in last), strict=True) if cases}
        if not words.only and words.journal == "file":
            others = asyncio.create_task(control(drivers.pop()))
        else:
            others = None
        tally, until = {}, began + words.seconds
        await asyncio.gather(*(work(driver, queue, tally, until) for driver in drivers), *([others] if others else []))
    finally:
        for world in worlds:
            await world.end()
        shutil.rmtree(folder, ignore_errors=True)
    for group, cases in groups.items():
        played = tally.get(group, [])
        print(f"{words.journal} journal, {group}: {sum(played)} killed of {len(cases)} ({len(played)} played)")
        if cases and not any(played):
            print(f"SKIPPED: {group} with the {words.journal} journal: none was killed in the {words.seconds:.0f} s that there were")
    wrong = tally.get("wrong", [])
    if wrong or not any(any(played) for played in tally.values()):
        raise SystemExit(f"{len(wrong)} endings were wrong")
    print(f"ok: every target on one side after every recovery, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    asyncio.run(main())
