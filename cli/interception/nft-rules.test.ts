import assert from "node:assert/strict";
import { MeshError } from "../../core/errors.ts";
import {
  deliveryCommands,
  parseCidrs,
  parsePorts,
  type RedirectRules,
  redirectRules,
  removalRules,
  tproxyRules,
} from "./nft-rules.ts";

const RULES: RedirectRules = {
  proxy: { uid: 2102 },
  outboundPort: 4140,
  inboundPort: 4143,
  adminPort: 4191,
  skipOutboundPorts: [],
  skipOutboundCidrs: [],
  skipInboundPorts: [],
  skipInboundCidrs: [],
};

const refused = (work: () => unknown) =>
  assert.throws(work, (error: unknown) => error instanceof MeshError && error.code === "USAGE");

describe("redirectRules()", () => {
  it("replaces the whole table, lets the proxy and loopback pass, and redirects the rest", () => {
    assert.equal(
      redirectRules(RULES),
      `table inet causeway_interception
delete table inet causeway_interception
table inet causeway_interception {
  chain outbound {
    type nat hook output priority -100; policy accept;
    meta skuid 2102 return
    oifname "lo" return
    meta l4proto tcp redirect to :4140
  }
  chain inbound {
    type nat hook prerouting priority -100; policy accept;
    tcp dport 4143 return
    tcp dport 4191 return
    meta l4proto tcp redirect to :4143
  }
}
`,
    );
  });

  it("leaves out ports and networks of either family, before it redirects", () => {
    const text = redirectRules({
      ...RULES,
      proxy: { uid: 1, gid: 2, mark: 3 },
      skipOutboundPorts: parsePorts("25,8000-8100"),
      skipOutboundCidrs: parseCidrs("10.0.0.0/8, fd00::/8"),
      skipInboundPorts: parsePorts("22"),
      skipInboundCidrs: parseCidrs("192.0.2.1"),
    });
    for (const rule of [
      "meta skgid 2 return",
      "meta mark 3 return",
      "ip daddr 10.0.0.0/8 return",
      "ip6 daddr fd00::/8 return",
      "tcp dport 8000-8100 return",
      "ip saddr 192.0.2.1 return",
      "tcp dport 22 return",
    ])
      assert.ok(text.includes(`    ${rule}\n`), rule);
    assert.ok(text.indexOf("8000-8100") < text.indexOf("redirect to :4140"));
    assert.ok(text.indexOf("dport 22 ") < text.indexOf("redirect to :4143"));
  });

  it("refuses rules that would bring the proxy's own connections back to it", () => {
    refused(() => redirectRules({ ...RULES, proxy: {} }));
  });
});

describe("tproxyRules()", () => {
  it("marks what leaves for delivery here, and lets answers pass, which these rules see too", () => {
    assert.equal(
      tproxyRules({ ...RULES, skipOutboundPorts: parsePorts("25"), skipInboundPorts: parsePorts("22") }),
      `table inet causeway_interception
delete table inet causeway_interception
table inet causeway_interception {
  chain outbound {
    type route hook output priority -150; policy accept;
    ct direction reply return
    meta skuid 2102 return
    oifname "lo" return
    tcp dport 25 return
    meta l4proto tcp meta mark set 16704
  }
  chain inbound {
    type filter hook prerouting priority -150; policy accept;
    iifname "lo" meta l4proto tcp meta mark 16704 tproxy to :4140 accept
    iifname "lo" return
    ct direction reply return
    tcp dport 4143 return
    tcp dport 4191 return
    tcp dport 22 return
    meta l4proto tcp tproxy to :4143 accept
  }
}
`,
    );
    refused(() => tproxyRules({ ...RULES, proxy: {} }));
  });
});

describe("deliveryCommands()", () => {
  it("adds or deletes the rule and the route of each family", () => {
    assert.deepEqual(
      deliveryCommands("delete").map((args) => args.join(" ")),
      ["-4", "-6"].flatMap((family) => [
        `${family} rule delete fwmark 16704 lookup 4140`,
        `${family} route delete local default dev lo table 4140`,
      ]),
    );
    assert.deepEqual(deliveryCommands("add")[1]?.slice(1, 4), ["route", "replace", "local"]);
  });
});

describe("removalRules()", () => {
  it("declares before it deletes, so that there need be nothing", () => {
    assert.equal(removalRules(), "table inet causeway_interception\ndelete table inet causeway_interception\n");
  });
});

describe("parsePorts() and parseCidrs()", () => {
  it("refuse what could be anything else, nft's own words among it", () => {
    for (const text of ["0", "65536", "90-80", "80;", "http", "80-", "-80"]) refused(() => parsePorts(text));
    for (const text of ["10.0.0.0/33", "fd00::/129", "10.0.0", "10.0.0.0/8/8", "a.example", "fe80::1%lo", "::/ 8"])
      refused(() => parseCidrs(text));
    assert.deepEqual(parsePorts(" 80 ,"), [{ from: 80, to: 80 }]);
    assert.deepEqual(parseCidrs(""), []);
  });
});
