// Only what Biome cannot do: the rules that need types.
import tseslint from "typescript-eslint";

// biome-ignore lint/style/noDefaultExport: eslint wants it
export default [
  { ignores: ["dist/**", "node_modules/**", "protos/gen/**", "**/*.mjs", "**/*.cjs", "**/*.js"] },
  {
    files: ["**/*.ts"],
    languageOptions: { parser: tseslint.parser, parserOptions: { project: "./tsconfig.json" } },
    plugins: { "@typescript-eslint": tseslint.plugin },
    rules: {
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/only-throw-error": "error",
    },
  },
];
