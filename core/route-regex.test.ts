import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "mocha";
import { hasCode } from "./errors.ts";
import { compileRouteRegex } from "./route-regex.ts";

describe("compileRouteRegex()", () => {
  const cases: [pattern: string, yes: string[], no: string[]][] = [
    ["/v[0-9]+/items", ["/v1/items", "/v20/items"], ["/v/items", "/v1/items/", "x/v1/items"]],
    ["^/a.*z$", ["/az", "/a/b/z"], ["/a", "/az "]],
    ["(?i)Bearer .+", ["bearer x", "BEARER y"], ["bearer "]],
    ["a|bc|", ["a", "bc", ""], ["b", "abc"]],
    ["(?:ab){2,3}?", ["abab", "ababab"], ["ab", "abababab"]],
    ["x{3}", ["xxx"], ["xx", "xxxx"]],
    ["x{2,}", ["xx", "xxxxx"], ["x"]],
    ["[^/]+\\.(?P<ext>png|jpe?g)", ["a.png", "b.jpg", "c.jpeg"], ["a/b.png", "a.gif"]],
    ["[[:alpha:]_-][\\w.\\-]*", ["a", "_x.y-z", "-"], ["1a", ""]],
    ["[]a]+", ["]a]"], ["b"]],
    ["\\d{2}\\x2d\\s", ["12-\t"], ["1-2 "]],
    ["caf\u00e9", ["caf\u00e9"], ["cafe"]],
    ["\\$", ["$"], [""]],
    ["()*a", ["a"], ["aa"]],
  ];
  for (const [pattern, yes, no] of cases) {
    it(`matches ${pattern} against whole values`, () => {
      const regex = compileRouteRegex(pattern);
      for (const text of yes) assert.equal(regex.test(text), true, text);
      for (const text of no) assert.equal(regex.test(text), false, text);
    });
  }

  it("matches a part of a buffer", () => {
    const bytes = Buffer.from("GET /v1/items HTTP/1.1");
    assert.equal(compileRouteRegex("/v1/.*").testBytes(bytes, 4, 13), true);
    assert.equal(compileRouteRegex("/v1/.*").testBytes(bytes, 3, 13), false);
  });

  it("refuses what is malformed, outside of the subset, or too large", () => {
    const wrong = [
      "(",
      ")",
      "[",
      "[b-a]",
      "*",
      "a**",
      "a\\",
      "(a)\\1",
      "(?=a)",
      "(?<!a)b",
      "\\bx",
      "\\pL",
      "a{3,2}",
      "a{2000}",
      "(a{100}){100}",
      "((((){999}){999}){999}){999}",
      "a^b",
      "a$b",
      "[[:nope:]]",
      "x".repeat(513),
      "(".repeat(40) + ")".repeat(40),
    ];
    for (const pattern of wrong) {
      assert.throws(
        () => compileRouteRegex(pattern),
        (error) => hasCode(error, "USAGE"),
        pattern,
      );
    }
  });

  it("takes no longer for patterns on which others backtrack, nor without bound for memory", () => {
    const text = "a".repeat(50_000);
    for (const pattern of ["(a+)+b", "(a|a)*b", "(a|aa)+c", ".*.*.*.*.*x", "(.*a){20}b"]) {
      assert.equal(compileRouteRegex(pattern).test(text), false, pattern);
    }
    // As many states as there are subsets of the last 14 characters: the table is begun anew, the answer is right.
    const many = compileRouteRegex("[ab]*a[ab]{14}");
    fc.assert(
      fc.property(fc.stringMatching(/^[ab]{0,400}$/), (value) => {
        assert.equal(many.test(value), /^[ab]*a[ab]{14}$/.test(value));
      }),
      { numRuns: 200 },
    );
  });

  it("agrees with JavaScript's engine on patterns that both read alike", () => {
    const atom = fc.constantFrom("a", "b", "[ab]", "[^a]", ".", "(?:a|b)", "(?:ab|c)", "\\d");
    const piece = fc.tuple(atom, fc.constantFrom("", "*", "+", "?", "{2}", "{1,3}")).map((parts) => parts.join(""));
    const pattern = fc.array(piece, { minLength: 1, maxLength: 5 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(pattern, fc.stringMatching(/^[abc1]{0,8}$/), (source, value) => {
        assert.equal(compileRouteRegex(source).test(value), new RegExp(`^(?:${source})$`).test(value), source);
      }),
      { numRuns: 1_000 },
    );
  });
});
