"""Shows with strace that a release's records are on the disk before a platform hears of what they announce.

    order.py CUTOVER

One release is traced, its first with a journal in a file. A write to a platform needs the fsync of the record that announces it to have
returned before the first byte of the request is sent; the first record needs the fsync of the journal's folder as well. Then the control:
the same trace without any one of these fsyncs must be refused.
"""

import asyncio
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from product import Product
from world import World

# Which record announces which request. What only uploads (blobs, files) changes nothing that anybody is served.
ANNOUNCED = (
    (r"POST \S*/apps/[^/ ]+/machines[ ?]", "begun"),
    (r"POST \S*/v13/deployments", "begun"),
    (r"POST \S*/(?:un)?cordon ", "cutting"),
    (r"POST \S*/promote/", "cutting"),
    (r"POST \S*/machines/[^/ ]+/stop", "finishing"),
    (r"DELETE \S*/machines/[^/ ]+[ ?]", "finishing"),
)


class Refused(Exception):
    """The order is wrong."""


def calls(trace):
    """Yields (text, whether it returns here, line number): a call begins where it is entered, and has its effect where it returns."""
    pending = {}
    for number, line in enumerate(trace):
        thread, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            pending[thread] = text.removesuffix("<unfinished ...>")
            yield pending[thread], False, number
        elif resumed := re.match(r"<\.\.\. \w+ resumed>", text):
            yield pending.pop(thread, "") + text[resumed.end():], True, number
        else:
            yield text, False, number
            yield text, True, number


def check(trace, journal):
    """Returns how many requests each record was before, and the lines of the fsyncs that counted."""
    synced, written, folder, found, counted = set(), [], None, {}, []
    for text, returned, number in calls(trace):
        name = text.partition("(")[0]
        if f"<{journal}>" in text and name in ("write", "writev", "pwrite64") and returned:
            if record := re.search(r'\\"entry\\":\{\\"is\\":\\"(\w+)\\"', text):
                written.append(record[1])
        elif name in ("fsync", "fdatasync") and returned and text.rstrip().endswith("= 0"):
            if f"<{journal}>" in text:
                synced.update(written)
                counted += [(number, record) for record in written]
                written = []
            elif f"<{os.path.dirname(journal)}>" in text:
                folder = folder or number
        elif name in ("write", "writev", "sendto", "sendmsg") and not returned and (asked := re.search(r'"((?:POST|PUT|PATCH|DELETE) [^"]*)', text)):
            record = next((record for pattern, record in ANNOUNCED if re.match(pattern, asked[1])), None)
            if record is None:
                continue
            request = asked[1].partition("HTTP/")[0]
            if record not in synced:
                raise Refused(f"{request}was sent before `{record}` was on the disk")
            if folder is None:
                raise Refused(f"{request}was sent before the journal's folder was on the disk")
            found[record] = found.get(record, 0) + 1
    for record in ("begun", "cutting", "finishing"):
        if record not in found:
            raise Refused(f"no request was seen that `{record}` announces")
    return found, counted, folder


def traced(world, folder):
    """Releases once under strace; returns the trace's lines and where the journal is."""
    out = folder / "trace"
    shop = world.product.shop
    words = [world.cutover, "release", "production", "--manifest", str(shop / "cutover.yml"), "--artifacts", str(world.product.artifacts["B"]), "--skip-gates"]
    strace = ["strace", "-f", "-y", "-s", "1500", "-o", str(out), "-e", "trace=openat,fsync,fdatasync,write,writev,pwrite64,sendto,sendmsg"]
    environment = {**world.machine(), **world.real}
    done = subprocess.run([*strace, *words], stdin=subprocess.DEVNULL, capture_output=True, env=environment, cwd=shop, timeout=200)
    if done.returncode:
        sys.exit(f"the traced release ended with {done.returncode}\n{done.stdout.decode(errors='replace')}{done.stderr.decode(errors='replace')}")
    return out.read_text(errors="replace").split("\n"), str(world.state / "journal/kill/production.jsonl")


async def main():
    folder, world = pathlib.Path(tempfile.mkdtemp(prefix="order-")), None
    try:
        cutover = os.path.abspath(sys.argv[1])
        world = World(cutover, Product(cutover, folder), folder, 0)
        await world.begin()
        trace, journal = await asyncio.to_thread(traced, world, folder)
    finally:
        if world:
            await world.end()
        shutil.rmtree(folder, ignore_errors=True)
    try:
        found, counted, at = check(trace, journal)
    except Refused as refused:
        sys.exit(f"WRONG: {refused}")
    told = ", ".join(f"{count} after `{record}`" for record, count in found.items())
    print(f"ok: requests to platforms, each sent after the fsync of the record that announces it: {told}; the folder's fsync before all")
    without = {record: number for number, record in counted if record in found} | {"the folder": at}
    for what, number in without.items():
        doctored = [line for index, line in enumerate(trace) if index != number]
        try:
            check(doctored, journal)
        except Refused:
            continue
        sys.exit(f"WRONG: the check does not miss the fsync of {what}")
    print(f"ok: the same trace without the fsync of {', '.join(without)} is refused, each by itself")


asyncio.run(main())
