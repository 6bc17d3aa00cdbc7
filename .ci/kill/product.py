"""A small product of one Fly app and Vercel projects, and contents of it that are released in turn. No engine builds anything."""

import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import tarfile

SITES = ("web", "docs", "news", "blog", "shop", "info")


def run(words, **more):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, **more)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout.decode(errors='replace')}")
    return done.stdout.decode()


def manifest(sites, image, watch):
    image_part = "images:\n  server: { context: server }\n" if image else ""
    api = '  api: { fly: fly.toml, image: server, verify: [{ get: /version, json: /revision, equals: revision }] }\n' if image else ""
    after = ", after: api" if image else ""
    webs = "".join(f"  {site}: {{ vercel: kill-{site}, dir: {site}{after}, verify: [{{ get: / }}] }}\n" for site in sites)
    return f"version: 1\nproduct: kill\n{image_part}targets:\n{api}{webs}environments:\n  production: {{ branch: main, watch: {watch} }}\n"


class Product:
    """The product in `folder`, with `artifacts[content]` for each of `contents`, letters."""

    def __init__(self, cutover, folder, sites=2, watch="300ms", image=True, contents="AB"):
        self.folder, self.sites, self.artifacts, self.image = pathlib.Path(folder), SITES[:sites], {}, image
        self.images, self.contents = {}, contents
        shop = self.shop = self.folder / "shop"
        (shop / "server").mkdir(parents=True)
        (shop / "server/Dockerfile").write_text("FROM scratch\n")
        (shop / "fly.toml").write_text(
            'app = "kill-api"\nprimary_region = "iad"\n[deploy]\n  strategy = "bluegreen"\n[http_service]\n  internal_port = 8080\n'
            '  auto_stop_machines = "off"\n  min_machines_running = 1\n[[http_service.checks]]\n  method = "GET"\n  path = "/health"\n'
            '  interval = "5s"\n  timeout = "2s"\n  grace_period = "1s"\n'
        )
        (shop / "cutover.yml").write_text(manifest(self.sites, image, watch))
        (self.shop / "sites.yml").write_text(manifest(self.sites, False, watch))
        for site in self.sites:
            (shop / site).mkdir()
        self.content("A")
        git = ["git", "-C", str(shop), "-c", "user.name=ci", "-c", "user.email=ci@localhost"]
        run([*git, "init", "--quiet", "--initial-branch", "main"])
        run([*git, "add", "--all"])
        run([*git, "commit", "--quiet", "--message", "The product"])
        self.commit = run([*git, "rev-parse", "HEAD"]).strip()
        for content in contents:
            self.content(content)
            out = self.folder / f"artifacts-{content}"
            if not self.sites:
                out.mkdir()
                (out / "artifacts.json").write_text(json.dumps({"version": 1, "environment": "production", "commit": self.commit, "images": {}, "directories": {}}))
            else:
                run([cutover, "build", "production", "--manifest", str(shop / "sites.yml"), "--out", str(out), "--skip-gates", "--quiet"], env=clean())
            self.artifacts[content] = out
            if not image:
                continue
            index = json.loads((out / "artifacts.json").read_text())
            archive, digest = archived(content)
            (out / "server.oci.tar").write_bytes(archive)
            index["images"]["server"] = {"file": "server.oci.tar", "sha256": sha256(archive), "digest": digest}
            (out / "artifacts.json").write_text(json.dumps(index))
            self.images[content] = digest
        self.content("A")

    def content(self, content):
        for site in self.sites:
            (self.shop / site / "index.html").write_text(page(content, site))

    def hosts(self):
        return {**({"api": "kill-api.fly.dev"} if self.image else {}), **{site: f"kill-{site}.vercel.app" for site in self.sites}}


def page(content, site):
    return f"<!doctype html><title>{site}</title><p>content {content}\n"


def clean():
    """This environment without anything that cutover reads."""
    return {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "LANG")}


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def archived(content):
    """An OCI archive of one small layer; returns it and the digest of its manifest."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as tar:
        text = f"content {content}\n".encode()
        entry = tarfile.TarInfo("content")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    layer = gzip.compress(inner.getvalue(), mtime=0)
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [sha256(inner.getvalue())]}}).encode()
    kind = "application/vnd.oci.image."

    def described(media, blob):
        return {"mediaType": kind + media, "digest": sha256(blob), "size": len(blob)}

    document = json.dumps({
        "schemaVersion": 2,
        "mediaType": kind + "manifest.v1+json",
        "config": described("config.v1+json", config),
        "layers": [described("layer.v1.tar+gzip", layer)],
    }).encode()
    index = json.dumps({"schemaVersion": 2, "manifests": [described("manifest.v1+json", document)]}).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        files = {f"blobs/sha256/{sha256(blob)[7:]}": blob for blob in (layer, config, document)}
        for name, blob in {**files, "index.json": index, "oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(blob)
            tar.addfile(entry, io.BytesIO(blob))
    return out.getvalue(), sha256(document)
