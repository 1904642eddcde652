import assert from "node:assert/strict";
import { StaticRoutes } from "./static-routes.ts";

describe("StaticRoutes", () => {
  it("replace() tells which names lead nowhere any more, or elsewhere", () => {
    const routes = new StaticRoutes();
    const gone: string[][] = [];
    const stop = routes.onRemoved((keys) => gone.push([...keys]));
    const at = (port: number) => ({ host: "127.0.0.1", port });
    routes.replace(
      new Map([
        ["a", at(1)],
        ["b", at(2)],
        ["c", at(3)],
      ]),
    );
    assert.deepEqual(routes.lookup("a"), { key: "a", host: "127.0.0.1", port: 1 });
    routes.replace(
      new Map([
        ["a", at(1)],
        ["b", at(9)],
      ]),
    );
    assert.deepEqual(gone, [["b", "c"]]);
    assert.equal(routes.lookup("c"), undefined);
    assert.equal(routes.size, 2);
    stop();
    routes.replace(new Map());
    assert.equal(gone.length, 1);
  });
});
