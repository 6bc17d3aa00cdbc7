"""A proxy between cutover and every address of a sandbox. It counts requests, and kills whoever sends them at a chosen one.

It speaks just enough HTTP/1.1: a request is read whole, forwarded, its answer read whole and given back. What is on its way to the platform
arrives there even when the client has died, as on a real network.
"""

import asyncio
import re
import time
from dataclasses import dataclass, field

# Moments of a request: it is complete at the proxy and not forwarded; its effect has happened and nobody knows; half of the answer is out.
MOMENTS = ("before", "after", "half")
# How long half an answer is left with the client before the client is killed.
HALF_SECONDS = 0.02


@dataclass
class Seen:
    """One request."""

    number: int
    name: str
    write: bool
    method: str
    path: str
    at: float
    platform: str
    answered: float = 0.0
    status: int = 0


@dataclass
class Run:
    """What one process sent, and where it is to die."""

    kill: object = None  # an async function that kills the process and returns when it is dead
    name: str = ""
    moment: str = ""
    latency: float = 0.0  # of platforms, not of edges
    hook: object = None  # called with every Seen before it is forwarded
    seen: list = field(default_factory=list)
    killed_at: Seen = None
    counts: dict = field(default_factory=dict)

    def number(self, platform, method, path, body):
        base = f"{platform} {method} {template(path)}"
        self.counts[base] = self.counts.get(base, 0) + 1
        seen = Seen(len(self.seen) + 1, f"{base} #{self.counts[base]}", is_write(method, path, body), method, path, time.monotonic(), platform)
        self.seen.append(seen)
        return seen

    def writes(self):
        return [seen for seen in self.seen if seen.write]


def template(path):
    """The path with what changes from run to run left out, so that a request of one run can be found in another."""
    path, _, query = path.partition("?")
    segments = [
        "*" if re.search(r"\d", segment) and re.fullmatch(r"(?:dpl_|sha256:|prj_)?[0-9A-Za-z:_-]{8,}", segment) else segment
        for segment in path.split("/")
    ]
    kept = re.search(r"(?:^|&)(?:projectId|app|app_name|slug)=([^&]*)", query)
    return "/".join(segments) + (f"?{kept[1]}" if kept else "")


def is_write(method, path, body):
    if path.partition("?")[0].endswith("/graphql"):
        return b"mutation" in body
    return method not in ("GET", "HEAD", "OPTIONS")


class Proxy:
    """Listeners in front of a sandbox's addresses."""

    def __init__(self):
        self.run = Run()
        self.earlier = []
        self.servers = []
        self.tasks = set()

    async def front(self, platform, host, port):
        """Listens in front of an address; returns the proxy's own port."""

        async def accepted(reader, writer):
            task = asyncio.current_task()
            self.tasks.add(task)
            try:
                await self.serve(platform, (host, port), reader, writer)
            finally:
                self.tasks.discard(task)

        server = await asyncio.start_server(accepted, "127.0.0.1", 0, limit=1 << 20)
        self.servers.append(server)
        return server.sockets[0].getsockname()[1]

    def begin(self):
        """From now on connections are another process's."""
        self.earlier += [seen.platform for seen in self.run.seen]
        self.run = Run()
        return self.run

    def total(self, platform):
        return self.earlier.count(platform) + sum(seen.platform == platform for seen in self.run.seen)

    async def end(self):
        for server in self.servers:
            server.close()
        for task in list(self.tasks):
            task.cancel()

    async def serve(self, platform, upstream, reader, writer):
        run, there = self.run, None
        try:
            while True:
                request = await message(reader, None)
                if request is None:
                    return
                head, body = request
                method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
                seen = run.number(platform, method, path, body)
                fatal = run.moment if run.kill and run.killed_at is None and seen.name == run.name else ""
                if run.latency and not platform.startswith("edge"):
                    await asyncio.sleep(run.latency)
                if run.hook and await run.hook(seen):
                    return
                if fatal == "before":
                    run.killed_at = seen
                    await run.kill()
                    return
                if there is None:
                    there = await asyncio.open_connection(*upstream, limit=1 << 20)
                there[1].write(head + body)
                await there[1].drain()
                answer = await message(there[0], method)
                seen.answered = time.monotonic()
                if answer is None:
                    return
                head, body = answer
                seen.status = int(head.split(b" ", 2)[1])
                whole = head + body
                if fatal == "after":
                    run.killed_at = seen
                    await run.kill()
                    return
                if fatal == "half":
                    run.killed_at = seen
                    writer.write(whole[: len(whole) // 2])
                    await writer.drain()
                    await asyncio.sleep(HALF_SECONDS)
                    await run.kill()
                    return
                writer.write(whole)
                await writer.drain()
                if b"\r\nconnection: close" in head.lower():
                    return
        except (OSError, EOFError, ValueError):
            # The client or the platform has gone: that is what this is for.
            return
        finally:
            writer.close()
            if there:
                there[1].close()


async def message(reader, asked):
    """Reads one request (`asked` is None) or the answer to a request of the method `asked`; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lower = head.lower()
    if asked is not None:
        status = int(head.split(b" ", 2)[1])
        if asked == "HEAD" or status in (204, 304) or status < 200:
            return head, b""
    if found := re.search(rb"\r\ncontent-length: *(\d+)", lower):
        return head, await reader.readexactly(int(found[1]))
    if b"\r\ntransfer-encoding: chunked" in lower:
        body = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            body += line + await reader.readexactly(size + 2)
            if not size:
                return head, body
    return head, b"" if asked is None else await reader.read()
