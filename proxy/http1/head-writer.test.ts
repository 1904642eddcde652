import assert from "node:assert/strict";
import { AUTHORITY_AT, authorityEnd, parseAuthority } from "./authority.ts";
import { createHead, parseRequestHead, parseResponseHead } from "./head.ts";
import { goesAsItCame, type RequestRewrite, writeRequestHead, writeResponseHead } from "./head-writer.ts";

const lines = (...all: string[]) => `${all.join("\r\n")}\r\n\r\n`;

function rewriteRequest(text: string, how: Partial<RequestRewrite> = {}): string {
  const b = Buffer.from(text, "latin1");
  const head = createHead();
  assert.ok(parseRequestHead(head, b, 0, b.length) > 0);
  const out = Buffer.alloc(80_000);
  const { targetStart, targetEnd } = head;
  const end = writeRequestHead(head, b, out, 0, {
    targetStart,
    targetEnd,
    target: undefined,
    host: undefined,
    lines: Buffer.alloc(0),
    added: Buffer.alloc(0),
    ...how,
  });
  return out.toString("latin1", 0, end);
}

describe("writeRequestHead()", () => {
  it("drops what ends at this hop and what only the mesh may say, and keeps the rest in order", () => {
    const written = rewriteRequest(
      lines(
        "GET /a HTTP/1.1",
        "Host: a",
        "Connection: keep-alive, x-hop",
        "X-Causeway-Client-ID: forged",
        "X-Hop: 1",
        "Accept: */*",
        "TE: trailers",
        "Proxy-Connection: keep-alive",
        "Keep-Alive: timeout=5",
      ),
    );
    assert.equal(written, lines("GET /a HTTP/1.1", "Host: a", "Accept: */*"));
  });

  it("turns absolute-form into origin-form with the URL's authority as Host", () => {
    for (const [url, path] of [
      ["http://b:8080/c?d", "/c?d"],
      ["HTTP://b:8080", "/"],
      ["http://b:8080?d", "/?d"],
    ]) {
      const text = lines(`GET ${url} HTTP/1.1`, "Host: a", "X: y");
      const b = Buffer.from(text, "latin1");
      const end = authorityEnd(b, 4, 4 + (url ?? "").length);
      const written = rewriteRequest(text, { targetStart: end, host: b.subarray(4 + AUTHORITY_AT, end) });
      assert.equal(written, lines(`GET ${path} HTTP/1.1`, "host: b:8080", "X: y"));
    }
  });

  it("keeps an upgrade, the version 1.0, and adds fields last", () => {
    assert.equal(
      rewriteRequest(lines("GET / HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade", "Host: a")),
      lines("GET / HTTP/1.1", "Upgrade: websocket", "Host: a", "connection: upgrade"),
    );
    assert.equal(
      rewriteRequest(lines("GET / HTTP/1.0", "A: b"), { added: Buffer.from("c: d\r\n") }),
      lines("GET / HTTP/1.0", "A: b", "c: d"),
    );
  });
});

describe("writeResponseHead()", () => {
  it("answers for its own hop, and keeps the mesh's fields only from the mesh", () => {
    const text = lines("HTTP/1.0 200 Fine", "Connection: close", "X-Causeway-Error: X", "A: b");
    const b = Buffer.from(text, "latin1");
    const head = createHead();
    parseResponseHead(head, b, 0, b.length);
    const out = Buffer.alloc(80_000);
    const written = (ours: boolean, how: "keep" | "close") =>
      out.toString("latin1", 0, writeResponseHead(head, b, out, 0, how, ours));
    assert.equal(written(false, "keep"), lines("HTTP/1.1 200 Fine", "A: b"));
    assert.equal(
      written(true, "close"),
      lines("HTTP/1.1 200 Fine", "X-Causeway-Error: X", "A: b", "connection: close"),
    );
  });
});

describe("goesAsItCame()", () => {
  const NO_LINES = Buffer.alloc(0);
  const heads = {
    plain: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\n\r\n",
    old: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n",
    hop: "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-A\r\nX-A: 1\r\nContent-Length: 2\r\n\r\n",
    ours: "HTTP/1.1 200 OK\r\nX-Causeway-Error: PROXY_RESET\r\nContent-Length: 0\r\n\r\n",
    upgrade: "HTTP/1.1 426 Upgrade Required\r\nUpgrade: a/1\r\nContent-Length: 0\r\n\r\n",
  };

  it("is true only where writeResponseHead() would write the same bytes", () => {
    for (const [name, text] of Object.entries(heads)) {
      const b = Buffer.from(text, "latin1");
      const head = createHead();
      assert.equal(parseResponseHead(head, b, 0, b.length), b.length, name);
      for (const how of ["keep", "close", "keep10", "upgrade"] as const) {
        for (const trusted of [false, true]) {
          for (const lines of [NO_LINES, Buffer.from("x-b: 2\r\n")]) {
            const out = Buffer.alloc(1_024);
            const written = out.toString("latin1", 0, writeResponseHead(head, b, out, 0, how, trusted, lines));
            const said = goesAsItCame(head, how, trusted, lines);
            if (said) assert.equal(written, text, `${name} ${how} ${trusted}`);
            else assert.ok(written !== text || how !== "keep" || name === "upgrade", `${name} ${how} ${trusted}`);
          }
        }
      }
    }
    const b = Buffer.from(heads.plain, "latin1");
    const head = createHead();
    parseResponseHead(head, b, 0, b.length);
    assert.equal(goesAsItCame(head, "keep", false, NO_LINES), true);
  });
});

describe("parseAuthority()", () => {
  it("normalises, and refuses what could be read in two ways", () => {
    assert.equal(parseAuthority("Web.Shop.", 80)?.key, "web.shop:80");
    assert.equal(parseAuthority("[::1]:81", 80)?.host, "::1");
    for (const bad of ["", "a b", "a:0", "a:65536", "a:x", "a@b", "a..b", "a/b", "a:80:90"]) {
      assert.equal(parseAuthority(bad, 80), undefined, bad);
    }
  });
});
