import { deepEqual, equal, ok } from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { type Clock, ManualClock, systemClock } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import type { Informer, InformerEvent, KubeClient, KubeObject } from "./client.ts";
import { connectKube } from "./client-node-adapter.ts";
import { type ListWatch, Reflector } from "./reflector.ts";
import { CONFIG_MAPS } from "./resources.ts";
import { failure, IMPORT_TIMEOUT_MS, object, type Recorded, reply, ScriptedServer } from "./scripted-server.test.ts";

describe("Reflector", () => {
  let server: ScriptedServer;
  let abort: AbortController;
  let events: string[];
  let objects: KubeObject[];
  let version: string;
  let failures: ((request: Recorded, response: ServerResponse) => void)[];

  before(async function () {
    this.timeout(IMPORT_TIMEOUT_MS);
    server = await ScriptedServer.start();
    await connect();
  });
  after(() => server.close());

  beforeEach(() => {
    abort = new AbortController();
    events = [];
    objects = [];
    version = "1";
    failures = [];
    server.requests.length = 0;
    server.handler = (request, response) => {
      const fail = failures.shift();
      if (fail !== undefined) fail(request, response);
      else if (request.query.get("watch") === "true") server.holdWatch(request, response);
      else listPage(request, response);
    };
  });
  afterEach(() => abort.abort());

  /** A page as the server would give it; the token is the offset. */
  function listPage(request: Recorded, response: ServerResponse): void {
    const limit = Number(request.query.get("limit") ?? objects.length);
    const from = Number(request.query.get("continue") ?? 0);
    const next = from + limit < objects.length ? String(from + limit) : "";
    reply(response, 200, {
      kind: "ConfigMapList",
      metadata: { resourceVersion: version, continue: next },
      items: objects.slice(from, from + limit),
    });
  }

  function connect(options: { watchIdleMs?: number } = {}): Promise<KubeClient> {
    return connectKube({ kubeconfigPath: server.kubeconfigPath, context: "token", clock: briskClock, ...options });
  }

  async function started(options: { watchIdleMs?: number } = {}): Promise<Informer<KubeObject>> {
    const kube = await connect(options);
    const informer = kube.informer(CONFIG_MAPS, { labelSelector: "app=web" });
    informer.onEvent((event) => events.push(describeEvent(event)));
    await informer.start(abort.signal);
    return informer;
  }

  /** Resolves once `wanted` are the last events. */
  async function eventually(informer: Informer<KubeObject>, ...wanted: string[]): Promise<void> {
    const done = () => wanted.every((event, index) => events[events.length - wanted.length + index] === event);
    await new Promise<void>((resolve) => {
      const stop = informer.onEvent(() => {
        if (!done()) return;
        queueMicrotask(() => stop());
        resolve();
      });
      if (done()) resolve();
    });
  }

  it("lists all pages, then watches from the list's version with bookmarks and selectors", async () => {
    objects = Array.from({ length: 1_100 }, (_, index) => object(`m${index}`, String(index)));
    version = "1100";
    const informer = await started();
    const watch = await server.nextWatch();
    equal(informer.synced, true);
    equal(informer.list().length, 1_100);
    equal(informer.get("m7", "shop")?.metadata.resourceVersion, "7");
    equal(informer.get("m7"), undefined);
    equal(events.length, 1_100);
    deepEqual(
      ["watch", "allowWatchBookmarks", "resourceVersion", "labelSelector"].map((name) => watch.query.get(name)),
      ["true", "true", "1100", "app=web"],
    );
    const seconds = Number(watch.query.get("timeoutSeconds"));
    ok(seconds >= 300 && seconds < 540);
    equal(server.requests.filter(({ query }) => query.get("limit") === "500").length, 3);
  });

  it("applies changes in order and resumes a dropped watch from the last version, bookmarks included", async () => {
    objects = [object("a", "1")];
    const informer = await started();
    const first = await server.nextWatch();
    first.send("ADDED", object("b", "2"));
    first.send("MODIFIED", object("a", "3"));
    first.send("DELETED", object("b", "4"));
    first.send("BOOKMARK", { metadata: { resourceVersion: "9" } });
    await eventually(informer, "set a 1", "set b 2", "set a 3", "delete b 4");
    first.drop();
    const second = await server.nextWatch();
    ok(["4", "9"].includes(second.query.get("resourceVersion") ?? ""));
    second.send("ADDED", object("c", "10"));
    await eventually(informer, "set c 10");
    deepEqual(
      informer.list().map(({ metadata }) => metadata.name),
      ["a", "c"],
    );
    second.end();
    equal((await server.nextWatch()).query.get("resourceVersion"), "10");
  });

  it("lists again on 410 within the stream and tells what was deleted and replaced meanwhile", async () => {
    objects = [object("gone", "1"), object("kept", "2"), object("changed", "3"), object("reborn", "4", "old")];
    version = "4";
    const informer = await started();
    const watch = await server.nextWatch();
    objects = [object("kept", "2"), object("changed", "8"), object("reborn", "9", "new"), object("new", "10")];
    version = "10";
    watch.send("ERROR", { kind: "Status", reason: "Expired", code: 410 });
    await eventually(informer, "delete gone 1", "delete reborn 4", "set changed 8", "set reborn 9", "set new 10");
    equal((await server.nextWatch()).query.get("resourceVersion"), "10");
  });

  it("lists again when the watch is refused with HTTP 410", async () => {
    objects = [object("a", "1")];
    failures = [listPage, (_request, response) => failure(response, 410, "Expired", "too old resource version")];
    await started();
    objects = [object("a", "5")];
    version = "5";
    equal((await server.nextWatch()).query.get("resourceVersion") !== null, true);
    equal(server.requests.filter(({ query }) => query.get("watch") === null).length, 2);
  });

  it("lists everything at once when a page's token has expired", async () => {
    objects = Array.from({ length: 700 }, (_, index) => object(`m${index}`, String(index)));
    failures = [listPage, (_request, response) => failure(response, 410, "Expired", "continue is too old")];
    const informer = await started();
    equal(informer.list().length, 700);
    equal(server.requests[2]?.query.get("limit"), null);
  });

  it("keeps the last good state while the server fails, and recovers", async () => {
    objects = [object("a", "1")];
    const informer = await started();
    const watch = await server.nextWatch();
    failures = [
      (_request, response) => failure(response, 500, "InternalError", "etcd is away"),
      (_request, response) => response.destroy(),
      (_request, response) => reply(response, 200, "<html>", { "content-length": "6" }),
      (_request, response) => failure(response, 403, "Forbidden", "not yet"),
    ];
    watch.drop();
    const next = await server.nextWatch();
    equal(failures.length, 0);
    deepEqual(events, ["set a 1"]);
    equal(informer.list().length, 1);
    next.send("MODIFIED", object("a", "2"));
    await eventually(informer, "set a 2");
  });

  it("takes an optional kind that is missing for an empty one, until it comes, and again once it has gone for good", async () => {
    const missing = (_: Recorded, response: ServerResponse) => {
      response.writeHead(404).end("404 page not found");
    };
    failures = [missing, missing];
    objects = [object("a", "1")];
    const informer = (await connect()).informer(CONFIG_MAPS, { optional: true });
    informer.onEvent((event) => events.push(describeEvent(event)));
    await informer.start(abort.signal);
    equal(informer.synced, true);
    deepEqual(informer.list(), []);
    await eventually(informer, "set a 1");
    const watch = await server.nextWatch();
    // Answered "missing" once: it may be a server that starts.
    failures = [missing];
    watch.drop();
    const again = await server.nextWatch();
    deepEqual(events, ["set a 1"]);
    failures = [missing, missing, missing];
    again.drop();
    await eventually(informer, "delete a 1");
    objects = [object("b", "2")];
    await eventually(informer, "set b 2");
  });

  it("takes garbage in a watch for a broken connection, not for an event", async () => {
    objects = [object("a", "1")];
    const informer = await started();
    for (const garbage of [
      "{not json\n",
      '{"type":"ADDED","object":{}}\n',
      '"text"\n',
      '{"type":"NOVEL","object":{"metadata":{"resourceVersion":"3"}}}\n',
    ]) {
      const watch = await server.nextWatch();
      watch.raw(garbage);
      await watch.closed;
    }
    const watch = await server.nextWatch();
    const whole = JSON.stringify({ type: "ADDED", object: object("b", "7") });
    watch.raw(`\n${whole.slice(0, 20)}`);
    watch.raw(`${whole.slice(20)}\n`);
    await eventually(informer, "set b 7");
    deepEqual(events, ["set a 1", "set b 7"]);
  });

  it("opens a silent watch again from the last version", async () => {
    objects = [object("a", "1")];
    const informer = await started({ watchIdleMs: 1_500 });
    const silent = await server.nextWatch();
    await silent.closed;
    const next = await server.nextWatch();
    equal(next.query.get("resourceVersion"), "1");
    next.send("ADDED", object("b", "2"));
    await eventually(informer, "set b 2");
  });

  it("waits as long as a busy server asks before the first list", async () => {
    failures = [(_request, response) => failure(response, 429, "TooManyRequests", "busy")];
    failures.push((_request, response) => reply(response, 429, {}, { "retry-after": "0" }));
    const kube = await connect();
    const informer = kube.informer(CONFIG_MAPS);
    await informer.start(abort.signal);
    equal(informer.synced, true);
    equal(server.requests.length >= 3, true);
  });

  it("isolates a listener that throws and one that rejects", async () => {
    objects = [object("a", "1")];
    const kube = await connect();
    const informer = kube.informer(CONFIG_MAPS);
    informer.onEvent(() => {
      throw new Error("mine");
    });
    informer.onEvent((async () => {
      throw new Error("later");
    }) as () => void);
    informer.onEvent((event) => events.push(describeEvent(event)));
    await informer.start(abort.signal);
    (await server.nextWatch()).send("ADDED", object("b", "2"));
    await eventually(informer, "set a 1", "set b 2");
  });

  it("tells a late listener what is in the cache, and none after it has gone", async () => {
    objects = [object("a", "1")];
    const informer = await started();
    const late: string[] = [];
    const stop = informer.onEvent((event) => late.push(describeEvent(event)));
    deepEqual(late, ["set a 1"]);
    stop();
    (await server.nextWatch()).send("ADDED", object("b", "2"));
    await eventually(informer, "set b 2");
    deepEqual(late, ["set a 1"]);
  });

  it("rejects start() when it is aborted before the first list, and closes the watch when aborted later", async () => {
    const kube = await connect();
    server.handler = () => {};
    const early = new AbortController();
    const starting = kube.informer(CONFIG_MAPS).start(early.signal);
    early.abort();
    equal(await starting.catch(({ code }: { code: string }) => code), "ABORTED");
    server.handler = (request, response) =>
      request.query.get("watch") === "true" ? server.holdWatch(request, response) : listPage(request, response);
    await started();
    const watch = await server.nextWatch();
    abort.abort();
    await watch.closed;
  });

  it("does not spin when the server ends every watch at once, calls each new version expired, or fails for ever", async () => {
    for (const outcome of ["short", "expired", "failing"] as const) {
      const clock = new ManualClock();
      let asked = 0;
      const source: ListWatch<KubeObject> = {
        what: "configmaps",
        list: async () => {
          asked++;
          return { items: [], resourceVersion: "1", next: "" };
        },
        watch: async () => {
          asked++;
          if (outcome === "failing") throw new Error("no");
          return outcome === "expired" ? "expired" : (async function* () {})();
        },
      };
      const stop = new AbortController();
      const reflector = new Reflector(source, {
        clock,
        random: seededRandom(1),
        log: silentLog,
        backoff: { minMs: 100, maxMs: 5_000, jitter: 0 },
        idleMs: 1_000,
      });
      await reflector.start(stop.signal);
      await clock.advance(60_000);
      stop.abort();
      ok(asked >= 10 && asked < 60, `${outcome}: ${asked}`);
    }
  });

  it("holds 10,000 objects, tells a relist's difference only, and keeps lists cheap between changes", async () => {
    const clock = new ManualClock();
    const many = Array.from({ length: 10_000 }, (_, index) => object(`m${index}`, String(index)));
    let expire = () => {};
    let lists = 0;
    const source: ListWatch<KubeObject> = {
      what: "configmaps",
      list: async () => ({ items: lists++ === 0 ? many : many.slice(1), resourceVersion: String(lists), next: "" }),
      watch: async () => {
        if (lists === 1) await new Promise<void>((resolve) => (expire = resolve));
        else await new Promise<void>((resolve) => abort.signal.addEventListener("abort", () => resolve()));
        return "expired";
      },
    };
    const reflector = new Reflector(source, {
      clock,
      random: seededRandom(1),
      log: silentLog,
      backoff: { minMs: 1, maxMs: 1, jitter: 0 },
      idleMs: 1e6,
    });
    await reflector.start(abort.signal);
    equal(reflector.list().length, 10_000);
    equal(reflector.list(), reflector.list());
    const told: string[] = [];
    reflector.onEvent((event) => told.push(describeEvent(event)));
    told.length = 0;
    expire();
    await clock.advance(10);
    deepEqual(told, ["delete m0 0"]);
  });
});

function describeEvent({ type, object: { metadata } }: InformerEvent<KubeObject>): string {
  return `${type} ${metadata.name} ${metadata.resourceVersion}`;
}

/** Waits between attempts pass fifty times as fast; deadlines do not. */
const briskClock: Clock = {
  ...systemClock,
  after: (afterMs, run) => systemClock.after(afterMs <= 5_000 ? afterMs / 50 : afterMs, run),
};
