import assert from "node:assert/strict";
import type { Answer } from "dns-packet";
import { answer } from "./answer.ts";
import type { Domain, Zone, ZoneService } from "./zone.ts";

const HTTP = { name: "http", protocol: "tcp", port: 80 };
const NONE = { ips: [], ports: [], endpoints: [], target: "" };
const SERVICES: Record<string, ZoneService> = {
  "cluster/shop/web": {
    ...NONE,
    kind: "address",
    ips: ["10.0.0.1", "fd00::1"],
    ports: [HTTP, { name: "", protocol: "tcp", port: 81 }],
  },
  "cluster/shop/db": {
    ...NONE,
    kind: "headless",
    endpoints: [
      { address: "10.1.0.2", hostname: "db-0", cluster: "west", ports: [{ ...HTTP, port: 8080 }] },
      { address: "10.1.0.3", hostname: "10-1-0-3", cluster: "west", ports: [{ ...HTTP, port: 8080 }] },
    ],
  },
  "cluster/shop/empty": { ...NONE, kind: "headless", ports: [HTTP] },
  "cluster/shop/other": { ...NONE, kind: "alias", target: "example.com" },
  "clusterset/shop/web": { ...NONE, kind: "address", ips: ["10.0.0.9"], ports: [HTTP] },
  "clusterset/shop/db": {
    ...NONE,
    kind: "headless",
    endpoints: [{ address: "10.1.0.2", hostname: "db-0", cluster: "west", ports: [HTTP] }],
  },
};
const zone: Zone = {
  ready: true,
  hasNamespace: (_domain: Domain, namespace) => namespace === "shop",
  service: (domain, namespace, name) => SERVICES[`${domain}/${namespace}/${name}`],
};

const NAMES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/** The answer as text: records, or the code, with "NODATA" for an existing name without such records. */
function ask(name: string, type = "A", on = zone): string {
  const { rcode, answers, authorities } = answer({ name, type }, on);
  if (rcode !== 0) return `${NAMES[rcode]}${authorities.length > 0 ? "+SOA" : ""}`;
  if (answers.length === 0) return `NODATA${authorities.length > 0 ? "+SOA" : ""}`;
  return answers.map(text).join(" ");
}

function text(record: Answer): string {
  if (record.type === "SRV") return `${record.data.port}:${record.data.target}`;
  return record.type === "A" || record.type === "AAAA" || record.type === "CNAME" || record.type === "TXT"
    ? String(record.data)
    : record.type;
}

describe("answer()", () => {
  const cases: [name: string, type: string, expected: string][] = [
    ["web.shop.svc.cluster.local", "A", "10.0.0.1"],
    ["WEB.Shop.svc.CLUSTER.local.", "A", "10.0.0.1"],
    ["web.shop.svc.cluster.local", "AAAA", "fd00::1"],
    ["web.shop.svc.cluster.local", "MX", "NODATA+SOA"],
    ["_http._tcp.web.shop.svc.cluster.local", "SRV", "80:web.shop.svc.cluster.local"],
    ["_http._tcp.web.shop.svc.cluster.local", "A", "NODATA+SOA"],
    ["_tcp.web.shop.svc.cluster.local", "SRV", "NODATA+SOA"],
    ["_grpc._tcp.web.shop.svc.cluster.local", "SRV", "NXDOMAIN+SOA"],
    ["_._tcp.web.shop.svc.cluster.local", "SRV", "NXDOMAIN+SOA"],
    ["_http._udp.web.shop.svc.cluster.local", "SRV", "NXDOMAIN+SOA"],
    ["pod.web.shop.svc.cluster.local", "A", "NXDOMAIN+SOA"],
    ["nothing.shop.svc.cluster.local", "A", "NXDOMAIN+SOA"],
    ["shop.svc.cluster.local", "A", "NODATA+SOA"],
    ["none.svc.cluster.local", "A", "NXDOMAIN+SOA"],
    ["svc.cluster.local", "A", "NODATA+SOA"],
    ["pod.cluster.local", "A", "NXDOMAIN+SOA"],
    ["cluster.local", "SOA", "SOA"],
    ["cluster.local", "NS", "NS"],
    ["dns-version.cluster.local", "TXT", "1.1.0"],
    ["db.shop.svc.cluster.local", "A", "10.1.0.2 10.1.0.3"],
    ["db-0.db.shop.svc.cluster.local", "A", "10.1.0.2"],
    ["x.db-0.db.shop.svc.cluster.local", "A", "NXDOMAIN+SOA"],
    [
      "_http._tcp.db.shop.svc.cluster.local",
      "SRV",
      "8080:db-0.db.shop.svc.cluster.local 8080:10-1-0-3.db.shop.svc.cluster.local",
    ],
    ["empty.shop.svc.cluster.local", "A", "NXDOMAIN+SOA"],
    ["other.shop.svc.cluster.local", "A", "example.com"],
    ["dns-version.clusterset.local", "TXT", "1.0.0"],
    ["web.shop.svc.clusterset.local", "A", "10.0.0.9"],
    ["web.shop.svc.clusterset.local", "SRV", "80:web.shop.svc.clusterset.local"],
    ["west.web.shop.svc.clusterset.local", "A", "NXDOMAIN+SOA"],
    ["db.shop.svc.clusterset.local", "A", "10.1.0.2"],
    ["db-0.west.db.shop.svc.clusterset.local", "A", "10.1.0.2"],
    ["db-0.east.db.shop.svc.clusterset.local", "A", "NXDOMAIN+SOA"],
    ["west.db.shop.svc.clusterset.local", "A", "NODATA+SOA"],
    ["_http._tcp.db.shop.svc.clusterset.local", "SRV", "80:db-0.west.db.shop.svc.clusterset.local"],
    ["example.com", "A", "REFUSED"],
    ["xcluster.local", "A", "REFUSED"],
    ["", "NS", "REFUSED"],
  ];
  for (const [name, type, expected] of cases) {
    it(`answers ${name} ${type} with ${expected}`, () => assert.equal(ask(name, type), expected));
  }

  it("fails instead of denying names while its zone is not listed", () => {
    assert.equal(ask("nothing.shop.svc.cluster.local", "A", { ...zone, ready: false }), "SERVFAIL");
  });

  it("keeps the name as asked in its records and adds the addresses of SRV targets", () => {
    const { answers, additionals } = answer({ name: "Web.shop.svc.cluster.local", type: "SRV" }, zone);
    assert.deepEqual(new Set(answers.map(({ name }) => name)), new Set(["Web.shop.svc.cluster.local"]));
    assert.deepEqual(additionals.map(text), ["10.0.0.1", "fd00::1"]);
  });
});
