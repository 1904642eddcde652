/** The import direction of docs/architecture.md: down only, siblings never. test/imports plants a violation. */
const LEVELS = [
  ["core", "protos"],
  ["identity", "registry", "kube", "transport"],
  ["gateway", "mirror", "proxy", "control"],
  ["drills", "clusters"],
  ["cli"],
  ["test", "bench"],
];

const rules = LEVELS.flatMap((level, i) =>
  level.map((folder) => {
    const above = LEVELS.slice(i + 1)
      .flat()
      .filter((f) => f !== "test");
    const siblings = i === LEVELS.length - 1 || i === 0 ? [] : level.filter((f) => f !== folder);
    const forbidden = [...above, ...siblings];
    return {
      name: `${folder}-imports-down-only`,
      severity: "error",
      from: { path: `^${folder}/`, pathNot: "\\.test\\.ts$" },
      to: { path: `^(${forbidden.length > 0 ? forbidden.join("|") : "$^"})/` },
    };
  }),
);

module.exports = {
  forbidden: [
    ...rules,
    {
      name: "tests-import-down-or-test-support",
      severity: "error",
      comment: "A unit test may use test/support, and nothing else from above its folder.",
      from: {
        path: "^(core|protos|identity|registry|kube|transport|gateway|mirror|proxy|control|drills|clusters|cli)/.*\\.test\\.ts$",
      },
      to: { path: "^(test/(?!support/)|bench/)" },
    },
    {
      name: "no-test-code-in-product",
      severity: "error",
      from: { pathNot: "^(test|bench)/|\\.(test|contract)\\.ts$" },
      to: { path: "^(test|bench)/|\\.(test|contract)\\.ts$" },
    },
    {
      name: "proxy-knows-neither-registry-nor-kube",
      severity: "error",
      from: { path: "^proxy/" },
      to: { path: "^(registry|kube)/|node_modules/(ioredis|@kubernetes)" },
    },
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^(dist|node_modules|scripts|\\.ci)/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default"],
      extensions: [".ts", ".js", ".json"],
    },
  },
};
