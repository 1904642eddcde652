import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ApiObject } from "../object.ts";
import { FileJournal, noJournal } from "./journal.ts";
import { Store, type StoreEvent } from "./store.ts";

function object(name: string, data = ""): ApiObject {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "n", uid: `uid-${name}` }, data };
}

describe("Store", () => {
  it("numbers every change and replays those after a revision", () => {
    const store = new Store({ journal: noJournal, historyLimit: 100 });
    const first = store.put("/configmaps", object("a"));
    const after = store.revision;
    store.put("/configmaps", object("a", "2"));
    store.put("/secrets", object("s"));
    const seen: StoreEvent[] = [];
    const stop = store.watch("/configmaps", after, (event) => seen.push(event));
    store.remove("/configmaps", store.get("/configmaps", "n", "a") ?? first);
    stop();
    store.put("/configmaps", object("b"));
    assert.deepEqual(
      seen.map((event) => event.type),
      ["MODIFIED", "DELETED"],
    );
    assert.equal(seen[1]?.object.metadata.resourceVersion, String(seen[1]?.revision));
    assert.equal(seen[0]?.previous?.metadata.resourceVersion, first.metadata.resourceVersion);
  });

  it("answers 410 for history that is gone and 504 for the future", () => {
    const store = new Store({ journal: noJournal, historyLimit: 2 });
    for (let i = 0; i < 10; i++) store.put("/configmaps", object(`o${i}`));
    assert.throws(() => store.watch("/configmaps", 2, () => {}), { httpCode: 410 });
    assert.throws(() => store.watch("/configmaps", 999, () => {}), { httpCode: 504 });
  });

  it("lists in order of namespace and name", () => {
    const store = new Store({ journal: noJournal, historyLimit: 10 });
    for (const name of ["b", "a", "c"]) store.put("/configmaps", object(name));
    assert.deepEqual(
      store.list("/configmaps", "n").map((one) => one.metadata.name),
      ["a", "b", "c"],
    );
    assert.deepEqual(store.list("/configmaps", "other"), []);
  });
});

describe("FileJournal", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), "journal-"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const open = () => {
    const journal = new FileJournal(directory);
    return { journal, store: new Store({ journal, historyLimit: 100 }) };
  };

  it("brings back objects, revision and history without having been closed", () => {
    const { store } = open();
    store.put("/configmaps", object("a"));
    const middle = store.revision;
    store.put("/configmaps", object("b"));
    store.remove("/configmaps", store.get("/configmaps", "n", "a") ?? object("a"));
    const again = open();
    assert.equal(again.store.revision, store.revision);
    assert.deepEqual(again.store.list("/configmaps", ""), store.list("/configmaps", ""));
    const types: string[] = [];
    again.store.watch("/configmaps", middle, (event) => types.push(event.type));
    assert.deepEqual(types, ["ADDED", "DELETED"]);
    again.journal.close();
  });

  it("cuts a torn last line off and goes on", () => {
    const first = open();
    first.store.put("/configmaps", object("a"));
    const { revision } = first.store;
    first.journal.close();
    appendFileSync(path.join(directory, "journal.jsonl"), '{"revision":99,"type":"put","reso');
    const second = open();
    assert.equal(second.store.revision, revision);
    second.store.put("/configmaps", object("b"));
    second.journal.close();
    const third = open();
    assert.equal(third.store.list("/configmaps", "").length, 2);
    third.journal.close();
  });

  it("goes on from a snapshot, and forgets history before it", () => {
    const first = open();
    first.store.put("/configmaps", object("a"));
    first.journal.snapshot(first.store.revision, [{ resource: "/configmaps", object: object("a") }]);
    first.store.put("/configmaps", object("b"));
    first.journal.close();
    const second = open();
    assert.deepEqual(
      second.store.list("/configmaps", "").map((one) => one.metadata.name),
      ["a", "b"],
    );
    assert.throws(() => second.store.watch("/configmaps", 1, () => {}), { httpCode: 410 });
    second.journal.close();
  });

  it("refuses damage in the middle, and keeps its files private", () => {
    const first = open();
    first.store.put("/configmaps", object("a"));
    first.journal.close();
    const file = path.join(directory, "journal.jsonl");
    assert.equal(statSync(file).mode & 0o777, 0o600);
    appendFileSync(file, `garbage\n${readFileSync(file, "utf8")}`);
    assert.throws(() => open(), /damaged/);
  });
});
